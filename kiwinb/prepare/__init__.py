"""Actions that prepare a root tree from a description."""
