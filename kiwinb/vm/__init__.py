"""Virtual machines: boot images in QEMU and use their consoles."""
