"""Description: an image description is read, validated, selected from, and frozen."""
