"""The schema of image descriptions: ``kiwinb.rng``, and its rules as Python data."""
