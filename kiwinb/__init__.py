"""kiwinb: design Linux appliances in a notebook, the KIWI NG way."""

__version__ = "0.1.0"

__all__ = ["Appliance", "__version__"]


def __getattr__(name: str) -> object:
    if name == "Appliance":  # imported on demand: workers and `kiwinb --version` need none of it
        from kiwinb.appliance import Appliance

        return Appliance
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
