"""Container images: ``docker`` and ``oci``."""
