"""GRUB 2."""
