"""Build what attacks: in a process of its own, as one account or another.

python tests/attack/attacked_build.py DIRECTORY ARGUMENT

``DIRECTORY/description`` is prepared with the store ``DIRECTORY/store``, and with the options of
``DIRECTORY/options/options.json``: names of protections that are switched off, limits, scripts with
a network, and whether the image is created, too. Each line of output is printed after the name of
its step. ARGUMENT is a secret.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path
from unittest.mock import patch

from kiwinb.build.appliance import Appliance
from kiwinb.checkpoints import runner
from kiwinb.errors import KiwinbError
from kiwinb.limits import Limits
from kiwinb.sandbox.worker import Launcher
from kiwinb.settings import Settings
from kiwinb.steps.progress import StepEvent


def hold_a_key() -> None:
    """Have a session with a key that is a secret, as users have who are logged in."""
    call = ctypes.CDLL(None).syscall
    keyctl, add_key = (219, 217) if os.uname().machine == "aarch64" else (250, 248)
    call(keyctl, 1, None)  # KEYCTL_JOIN_SESSION_KEYRING
    secret = os.environ["KIWINB_ATTACK_SECRET"].encode()
    name = os.environ["KIWINB_TEST_MARK"].encode()
    call(add_key, b"user", name, secret, ctypes.c_size_t(len(secret)), -3)


def show(event: StepEvent) -> None:
    """Print a line of output of a step."""
    if event.line is not None:
        print(event.step.name, event.line, flush=True)


class WeakeningLauncher(Launcher):
    """A launcher whose workers have a weakened cage."""

    def __init__(self, modules: Iterable[str] = ()) -> None:
        super().__init__((*modules, "weakened"))


def main(directory: Path) -> int:
    """Prepare the tree; return the exit status."""
    hold_a_key()
    options = json.loads((directory / "options/options.json").read_text())
    if options["without"]:
        os.environ["KIWINB_TEST_WITHOUT"] = " ".join(options["without"])
    settings = Settings(
        store=directory / "store",
        cache=Path(os.environ["KIWINB_CACHE"]),
        limits=Limits(**options["limits"]),
        network=tuple(options["network"]),
    )
    launcher = WeakeningLauncher if options["without"] else Launcher
    appliance = Appliance(directory / "description", settings=settings).observed_by(show)
    try:
        with patch.object(runner, "Launcher", launcher):
            appliance.prepare()
            if options["create"]:
                appliance.build(directory / "out")
    except KiwinbError as error:
        print("error", error)
        return error.exit_status
    except Exception:
        print("traceback", traceback.format_exc())
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
