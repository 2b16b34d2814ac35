"""Run recipes with all combinations of parameters in parallel, and compare the results."""
