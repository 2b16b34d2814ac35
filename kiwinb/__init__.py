"""kiwinb: design Linux appliances in a notebook, the KIWI NG way."""

__version__ = "0.1.0"
