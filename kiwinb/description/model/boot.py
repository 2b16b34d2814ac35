"""The model of the bootloader and the initrd."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ConfigOption:
    """A name and an optional value: ``configoption``, ``option``, ``env`` and the like."""

    name: str
    value: str | None = None


@dataclass(frozen=True)
class BootloaderSettings:
    """``<bootloadersettings>``: options handed to the bootloader's own tools."""

    shimoption: tuple[ConfigOption, ...] = ()
    installoption: tuple[ConfigOption, ...] = ()
    configoption: tuple[ConfigOption, ...] = ()
    environment: tuple[ConfigOption, ...] = ()


@dataclass(frozen=True)
class Bootloader:
    """``<bootloader>`` of a type."""

    name: str = "grub2"
    bls: bool | None = None
    grub_template: str | None = None
    input_console: str | None = None
    output_console: str | None = None
    serial_line: str | None = None
    targettype: str | None = None
    timeout: int | None = None
    timeout_style: str | None = None
    use_disk_password: bool | None = None
    video_mode: str | None = None
    settings: BootloaderSettings = BootloaderSettings()


@dataclass(frozen=True)
class Dracut:
    """``<dracut>`` in ``<initrd>``."""

    module: str | None = None
    driver: str | None = None
    uefi: bool | None = None


@dataclass(frozen=True)
class Initrd:
    """``<initrd>``: what to add to the initrd, omit from it or configure in it."""

    action: str
    dracut: tuple[Dracut, ...] = ()
