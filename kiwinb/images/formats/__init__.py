"""Disk formats besides raw."""
