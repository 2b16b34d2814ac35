"""The schema of image descriptions: ``kiwinb.rng``, and what it says as Python data."""
