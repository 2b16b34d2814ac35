"""Switch off protections of the cage: imported into the process that forks the workers.

The names of the protections are those of the fields of :class:`kiwinb.sandbox.cage.Cage`, in the
variable ``KIWINB_TEST_WITHOUT``. kiwinb itself has no such switch.
"""

from __future__ import annotations

import gc
import os

import kiwinb.prepare.scripts
import kiwinb.sandbox.chroot  # noqa: F401 - it has the cage of programs of a tree
from kiwinb.sandbox.cage import Cage

names = os.environ["KIWINB_TEST_WITHOUT"].split()
cages = [item for item in gc.get_objects() if isinstance(item, Cage)]
assert cages, "no cage is found"
for cage in cages:
    for name in names:
        assert getattr(cage, name) is True, name
        object.__setattr__(cage, name, False)
