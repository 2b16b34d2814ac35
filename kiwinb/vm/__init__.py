"""Virtual machines: images are booted in QEMU, and talked to."""
