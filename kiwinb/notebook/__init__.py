"""Notebook: results shown in cells, and recipe notebooks run headless."""
