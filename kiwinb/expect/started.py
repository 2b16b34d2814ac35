"""Expectations about images that boot."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Literal

from kiwinb.errors import BootError
from kiwinb.expect.measure import HasPath
from kiwinb.expect.outcome import Outcome, report
from kiwinb.vm.qemu import boot


def boots(
    image: HasPath | str | os.PathLike[str],
    *,
    firmware: Literal["bios", "efi", "uefi"] = "bios",
    timeout: float = 600,
    until: str = r"login: ",
    memory: int = 1024,
    arch: str | None = None,
) -> Outcome:
    """Expect that an image boots in QEMU; the image stays unchanged.

    Args:
        image: A disk image.
        firmware: ``bios``, or ``efi`` (also ``uefi``).
        timeout: Time limit in seconds.
        until: Regular expression that matches the output of the serial console once the image has
            booted.
        memory: Memory of the machine in MiB.
        arch: Architecture of the image, as ``uname -m`` prints it; by default, the host's.

    Raises:
        ExpectationError: The image does not boot; the error includes the last lines of the
            console.
        HostError: QEMU or the firmware is not installed.
    """
    path = image.path if isinstance(image, HasPath) else Path(image)
    started = time.monotonic()
    kind: Literal["bios", "uefi"] = "bios" if firmware == "bios" else "uefi"
    try:
        with boot(path, firmware=kind, memory=memory, arch=arch) as console:
            console.expect(until, timeout=timeout)
    except BootError as error:
        measured, passed = str(error), False
    else:
        measured, passed = f"after {time.monotonic() - started:.0f} s", True
    expected = f"{until.strip()!r} within {timeout:.0f} s"
    return report(f"boot of {path.name} ({firmware})", expected, measured, passed)
