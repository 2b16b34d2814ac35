"""Expectations of a recipe: conditions that its root tree and its image must meet.

::

    from kiwinb import expect

    with expect.all() as checks:
        expect.size(image, at_most="400 MiB")
        expect.no_package(root, section="x11")
        expect.package(root, "openssh-server", at_least="1:9.2")
        expect.file(root, "/etc/motd", contains="Welcome")

A block ``all()`` measures all its expectations, shows them in a table, and reports all that do not
hold at its end. Outside such a block, an expectation that does not hold raises an error at once.
All expectations are recorded for the headless runner.
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
