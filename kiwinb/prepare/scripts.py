"""Scripts of the description: run in the root tree, with KIWI NG's functions and variables."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from kiwinb.description.model import ImageDescription
from kiwinb.errors import CommandError, Location
from kiwinb.plan.keys import Source
from kiwinb.plan.step import Output, StepContext
from kiwinb.sandbox.chroot import Chroot

FUNCTIONS = ".kconfig"
PROFILE = ".profile"


@dataclass(frozen=True)
class RunScript:
    """Run one script of the description in the root tree.

    While it runs the tree has ``/.kconfig`` (the functions), ``/.profile`` (the variables) and
    ``/image/NAME`` (the script). They are gone afterwards.

    Attributes:
        name: ``config.sh`` and so on.
        script: The script.
        functions: Text of the functions.
        variables: Variables of ``/.profile``.
        epoch: ``SOURCE_DATE_EPOCH`` for the script.
    """

    output: ClassVar[Output] = "tree"
    revision: ClassVar[int] = 1

    name: str
    script: Source
    functions: str
    variables: Mapping[str, str]
    epoch: int

    def run(self, context: StepContext) -> None:
        """Run it.

        Raises:
            CommandError: It ended with another exit status than 0.
        """
        root = context.root
        helpers = (root / FUNCTIONS, root / PROFILE)
        helpers[0].write_text(self.functions)
        helpers[1].write_text(profile_text(self.variables))
        folder = root / "image"
        made = not folder.exists()
        folder.mkdir(exist_ok=True)
        script = folder / self.name
        shutil.copyfile(self.script.path, script)
        try:
            with Chroot(root, log=context.log) as chroot:
                chroot.run(
                    ["bash", f"/image/{self.name}"],
                    env={**self.variables, "SOURCE_DATE_EPOCH": str(self.epoch)},
                )
        except CommandError as error:
            raise CommandError(
                error.argv,
                error.status,
                error.tail,
                problem=f"{self.name} failed",
                remedy="Correct the script and run again: the steps before it are kept.",
                location=Location(self.script.path),
            ) from None
        finally:
            for path in (*helpers, script):
                path.unlink(missing_ok=True)
            if made:
                shutil.rmtree(folder)


def profile_text(variables: Mapping[str, str]) -> str:
    """The text of ``/.profile``: one shell assignment a line."""
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in sorted(variables.items()))


def profile_variables(image: ImageDescription) -> dict[str, str]:
    """The variables that scripts see, by KIWI NG's names; those not set are left out."""
    kind, preferences = image.type, image.preferences
    said = {
        "kiwi_iname": image.name,
        "kiwi_displayname": image.displayname or image.name,
        "kiwi_iversion": image.version,
        "kiwi_type": kind.image,
        "kiwi_profiles": ",".join(image.profiles),
        "kiwi_language": ",".join(preferences.locale),
        "kiwi_keytable": preferences.keytable,
        "kiwi_timezone": preferences.timezone,
        "kiwi_cmdline": kind.kernelcmdline,
        "kiwi_firmware": kind.firmware,
        "kiwi_filesystem": kind.filesystem,
        "kiwi_bootloader": kind.bootloader.name if kind.bootloader else None,
        "kiwi_splash_theme": preferences.bootsplash_theme,
        "kiwi_loader_theme": preferences.bootloader_theme,
        "kiwi_compressed": _flag(kind.compressed),
        "kiwi_delete": " ".join(image.packages.delete),
        "kiwi_uninstall": " ".join(image.packages.uninstall),
        "kiwi_drivers": ",".join(image.drivers),
        "kiwi_strip_delete": " ".join(image.strip.delete),
        "kiwi_strip_tools": " ".join(image.strip.tools),
        "kiwi_strip_libs": " ".join(image.strip.libs),
        "kiwi_oemresizeonce": _flag(kind.oemconfig.resize_once),
        "kiwi_oemswap": _flag(kind.oemconfig.swap),
        "kiwi_oemswapMB": _text(kind.oemconfig.swapsize),
        "kiwi_oemrootMB": _text(kind.oemconfig.systemsize),
        "kiwi_oemtitle": kind.oemconfig.boot_title,
    }
    return {name: value for name, value in said.items() if value}


def _flag(value: bool | None) -> str | None:
    return None if value is None else str(value).lower()


def _text(value: int | None) -> str | None:
    return None if value is None else str(value)
