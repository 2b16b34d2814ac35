"""Show results in notebook cells."""
