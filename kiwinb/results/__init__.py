"""Results: image files delivered to a target directory, listed there, and bundled."""
