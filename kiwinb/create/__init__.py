"""Create: the actions that turn a root tree into an image; one module per image kind."""
