"""Descriptions: read, validate and select from an image description, and freeze the result."""
