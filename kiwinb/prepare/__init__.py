"""Prepare: the actions that turn a description into an unpacked root tree."""
