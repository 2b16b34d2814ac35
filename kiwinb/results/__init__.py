"""Results: deliver image files to a target directory, list them there, and bundle them."""
