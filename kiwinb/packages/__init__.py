"""Packages: one module per package manager, registered here."""
