"""Run steps and commands in namespaces that disappear with their processes."""
