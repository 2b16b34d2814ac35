"""Build: a description and its inputs become steps; the appliance, its root tree and its image."""
