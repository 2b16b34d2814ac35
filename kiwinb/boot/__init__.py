"""Boot: an image is started in QEMU and talked to over its serial console."""
