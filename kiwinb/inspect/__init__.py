"""Inspect: what is in a root tree or an image, as data."""
