"""Build initrds with tools of the root tree, one module for each tool, all registered here."""

from __future__ import annotations

from kiwinb.errors import ImageError
from kiwinb.initrd.dracut import Dracut
from kiwinb.initrd.initramfs_tools import InitramfsTools
from kiwinb.initrd.tool import InitrdTool
from kiwinb.steps.registry import Registry

INITRD_TOOLS: Registry[InitrdTool] = Registry(
    "initrd tool", (Dracut(), InitramfsTools()), error=ImageError
)
"""All initrd tools; if a tree has several, the first one makes the initrd."""
