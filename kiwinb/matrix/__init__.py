"""Recipes times parameters, run in parallel and compared."""
