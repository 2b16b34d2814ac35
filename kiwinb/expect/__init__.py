"""Expectations of a recipe: what must hold of its root tree and its image.

::

    from kiwinb import expect

    with expect.all() as checks:
        expect.size(image, at_most="400 MiB")
        expect.no_package(root, section="x11")
        expect.package(root, "openssh-server", at_least="1:9.2")
        expect.file(root, "/etc/motd", contains="Welcome")

Within ``all()`` everything is measured, shown as one table, and what does not hold is told
together. A call outside of it raises at once. Each is recorded for the headless runner.
"""

from __future__ import annotations

from kiwinb.expect.expected import (
    file,
    no_file,
    no_package,
    no_unowned,
    package,
    size,
    that,
)
from kiwinb.expect.measure import HasPath, Size
from kiwinb.expect.outcome import RECORD_VARIABLE, Expectations, Outcome, all
from kiwinb.expect.started import boots

__all__ = [
    "RECORD_VARIABLE",
    "Expectations",
    "HasPath",
    "Outcome",
    "Size",
    "all",
    "boots",
    "file",
    "no_file",
    "no_package",
    "no_unowned",
    "package",
    "size",
    "that",
]
