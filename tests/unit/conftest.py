"""Fixtures that several files of unit tests share."""

from shell_tree import seed, tree

__all__ = ["seed", "tree"]
