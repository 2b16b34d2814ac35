"""The version of kiwinb."""

__version__ = "0.1.0"
