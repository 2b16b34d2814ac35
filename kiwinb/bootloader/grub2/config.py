"""Configuration files of GRUB 2."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from kiwinb.bootloader.kernel import Kernel
from kiwinb.bootloader.target import DEFAULT_TIMEOUT, BootPlace, BootTarget
from kiwinb.description.model import Bootloader, ConfigOption

_SERIAL_LINE = "serial --unit=0 --speed=115200 --word=8 --parity=no --stop=1"
_ENVIRONMENT_SIZE = 1024


def early_config(boot: BootPlace, directory: str) -> str:
    """Return the commands embedded in GRUB's core, which find its directory."""
    return f"search.fs_uuid {boot.uuid} root\nset prefix=($root){boot.path(directory)}\n"


def signed_config(boot: BootPlace, directory: str) -> str:
    """Return the ``grub.cfg`` with which a signed GRUB on the EFI system partition starts."""
    return early_config(boot, directory) + "configfile $prefix/grub.cfg\n"


def menu(target: BootTarget, kernel: Kernel) -> str:
    """Return ``grub.cfg``, which defines the boot menu."""
    settings, boot = target.settings, target.boot
    find = f"search --no-floppy --fs-uuid --set=root {boot.uuid}"
    lines = [
        "# Written when the image was built; update-grub writes another one.",
        "if [ -s $prefix/grubenv ]; then",
        "  load_env",
        "fi",
        "set default=0",
        *(f"insmod {module}" for module in boot.modules),
        find,
        *terminal_commands(settings),
        f"set timeout_style={settings.timeout_style or 'menu'}",
        f"set timeout={DEFAULT_TIMEOUT if settings.timeout is None else settings.timeout}",
        "",
        f"menuentry {_quoted(target.title)} --class os --unrestricted {{",
        f"  {find}",
        f"  linux {boot.path(f'/boot/{kernel.file}')} {target.kernel_options}",
    ]
    if kernel.initrd is not None:
        lines.append(f"  initrd {boot.path(f'/boot/{kernel.initrd}')}")
    return "\n".join([*lines, "}", ""])


def terminal_commands(settings: Bootloader) -> list[str]:
    """Return the commands that set up the consoles."""
    output = (settings.output_console or "console").split()
    given = (settings.input_console or settings.output_console or "console").split()
    known = ("none", "console", "serial", "at_keyboard", "usb_keyboard")
    wanted = [name if name in known else "console" for name in given]
    commands = []
    if "serial" in output or "serial" in wanted:
        commands.append(serial_command(settings))
    if "gfxterm" in output:
        commands += [
            f"set gfxmode={settings.video_mode or 'auto'}",
            "insmod all_video",
            "insmod gfxterm",
            "loadfont $prefix/fonts/unicode.pf2",
        ]
    if output != ["none"]:
        commands.append(f"terminal_output {' '.join(output)}")
    if wanted != ["none"]:
        commands.append(f"terminal_input {' '.join(dict.fromkeys(wanted))}")
    return commands


def serial_command(settings: Bootloader) -> str:
    """Return GRUB's command that sets up the serial line."""
    line = (settings.serial_line or _SERIAL_LINE).strip()
    return line if line.startswith("serial") else f"serial {line}"


def defaults(target: BootTarget, present: str = "") -> str:
    """Return ``/etc/default/grub``, with which ``update-grub`` later writes an equivalent menu.

    Args:
        target: Description of the boot.
        present: The present text of the file; its other settings are kept.
    """
    settings = target.settings
    timeout = DEFAULT_TIMEOUT if settings.timeout is None else settings.timeout
    options = " ".join(
        word for word in target.kernel_options.split() if not re.match(r"root=|ro$|rw$", word)
    )
    values = {
        "GRUB_DEFAULT": "0",
        "GRUB_TIMEOUT": str(timeout),
        "GRUB_TIMEOUT_STYLE": settings.timeout_style or "menu",
        "GRUB_DISTRIBUTOR": target.title,
        "GRUB_CMDLINE_LINUX_DEFAULT": "",
        "GRUB_CMDLINE_LINUX": options,
    }
    terminals = (settings.input_console or "", settings.output_console or "")
    if terminals[1]:
        values["GRUB_TERMINAL_OUTPUT"] = terminals[1]
        values["GRUB_TERMINAL_INPUT"] = terminals[0] or terminals[1].replace("gfxterm", "console")
    if any("serial" in terminal for terminal in terminals):
        values["GRUB_SERIAL_COMMAND"] = serial_command(settings)
    if settings.video_mode:
        values["GRUB_GFXMODE"] = settings.video_mode
    return _assigned(present, values)


def environment_block(variables: Sequence[ConfigOption]) -> bytes:
    """Return ``grubenv``, GRUB's environment block of 1024 bytes."""
    text = "# GRUB Environment Block\n"
    text += "".join(f"{variable.name}={variable.value or ''}\n" for variable in variables)
    return text.encode().ljust(_ENVIRONMENT_SIZE, b"#")[:_ENVIRONMENT_SIZE]


def _assigned(present: str, values: Mapping[str, str]) -> str:
    """Set variables in the text of a shell file; existing assignments are replaced in place."""
    left = dict(values)
    lines = []
    for line in present.splitlines():
        name = line.partition("=")[0].strip()
        if name in left:
            line = f"{name}={_shell(left.pop(name))}"
        elif name in values:
            continue
        lines.append(line)
    lines += [f"{name}={_shell(value)}" for name, value in left.items()]
    return "\n".join(lines) + "\n"


def _shell(value: str) -> str:
    escaped = re.sub(r'(["\\$`])', r"\\\1", value)
    return f'"{escaped}"'


def _quoted(text: str) -> str:
    """Put a text in single quotes, as GRUB's script language reads them."""
    return "'" + text.replace("'", "'\\''") + "'"
