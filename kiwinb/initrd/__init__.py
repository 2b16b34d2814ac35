"""The initrd: made by the tools that the root tree brings."""
