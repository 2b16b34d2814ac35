"""Sandbox: steps and commands run in namespaces that vanish with their process."""
