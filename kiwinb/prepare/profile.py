"""``/.profile``: values from a description as variables for its scripts, with KIWI NG's names.

KIWI NG documents ten of them. The others are variables that its own scripts and widespread
descriptions use: https://osinside.github.io/kiwi/concept_and_workflow/shell_scripts.html
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from kiwinb.description.model import Bootloader, ImageDescription

_ALIGNMENT = 1024 * 1024
_SECTOR = 512
_START = 2048
"""Defaults of KIWI NG for disks, in bytes, bytes and sectors."""

_ATTRIBUTES = {
    "kiwi_bootkernel": "bootkernel",
    "kiwi_bootprofile": "bootprofile",
    "kiwi_btrfs_root_is_snapper_snapshot": "btrfs_root_is_snapper_snapshot",
    "kiwi_btrfs_root_is_snapshot": "btrfs_root_is_snapper_snapshot",
    "kiwi_gpt_hybrid_mbr": "gpt_hybrid_mbr",
    "kiwi_hybridpersistent": "hybridpersistent",
    "kiwi_hybridpersistent_filesystem": "hybridpersistent_filesystem",
    "kiwi_installboot": "installboot",
    "kiwi_ramonly": "ramonly",
    "kiwi_target_removable": "target_removable",
    "kiwi_wwid_wait_timeout": "wwid_wait_timeout",
}
"""Variables whose values are those of attributes of ``<type>``."""

_OEM = {
    "kiwi_oembootwait": "bootwait",
    "kiwi_oemdevicefilter": "device_filter",
    "kiwi_oemkboot": "kiwi_initrd",
    "kiwi_oemmultipath_scan": "multipath_scan",
    "kiwi_oemnicfilter": "nic_filter",
    "kiwi_oempartition_install": "partition_install",
    "kiwi_oemramdisksize": "ramdisk_size",
    "kiwi_oemreboot": "reboot",
    "kiwi_oemrebootinteractive": "reboot_interactive",
    "kiwi_oemrecovery": "recovery",
    "kiwi_oemrecoveryID": "recoveryID",
    "kiwi_oemrecoveryInPlace": "inplace_recovery",
    "kiwi_oemrecoveryPartSize": "recovery_part_size",
    "kiwi_oemresizeonce": "resize_once",
    "kiwi_oemrootMB": "systemsize",
    "kiwi_oemshutdown": "shutdown",
    "kiwi_oemshutdowninteractive": "shutdown_interactive",
    "kiwi_oemsilentboot": "silent_boot",
    "kiwi_oemsilentinstall": "silent_install",
    "kiwi_oemsilentverify": "silent_verify",
    "kiwi_oemskipverify": "skip_verify",
    "kiwi_oemswap": "swap",
    "kiwi_oemswapMB": "swapsize",
    "kiwi_oemtitle": "boot_title",
    "kiwi_oemunattended": "unattended",
    "kiwi_oemunattended_id": "unattended_id",
    "kiwi_oemvmcp_parmfile": "vmcp_parmfile",
}
"""Variables whose values are those of fields of ``<oemconfig>``."""


def profile_text(variables: Mapping[str, str]) -> str:
    """Return the text of ``/.profile``, with one shell assignment on each line."""
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in sorted(variables.items()))


def profile_variables(
    image: ImageDescription, of_kind: Mapping[str, object] | None = None
) -> dict[str, str]:
    """Return the variables of scripts; those that the description does not set are empty.

    Args:
        image: The effective description.
        of_kind: Additional variables, which the image kind sets.
    """
    said = {
        **_image(image),
        **_type(image),
        **{name: image.type.attributes.get(key) for name, key in _ATTRIBUTES.items()},
        **{name: getattr(image.type.oemconfig, key) for name, key in _OEM.items()},
        **(of_kind or {}),
    }
    return {name: _text(value) for name, value in said.items()}


def _image(image: ImageDescription) -> dict[str, object]:
    preferences = image.preferences
    return {
        "kiwi_iname": image.name,
        "kiwi_displayname": image.displayname or image.name,
        "kiwi_iversion": image.version,
        "kiwi_profiles": ",".join(image.profiles),
        "kiwi_language": ",".join(preferences.locale),
        "kiwi_keytable": preferences.keytable,
        "kiwi_timezone": preferences.timezone,
        "kiwi_showlicense": preferences.showlicense[0] if preferences.showlicense else None,
        "kiwi_splash_theme": preferences.bootsplash_theme,
        "kiwi_loader_theme": preferences.bootloader_theme,
        "kiwi_delete": " ".join(sorted(image.packages.delete)),
        "kiwi_uninstall": " ".join(sorted(image.packages.uninstall)),
        "kiwi_drivers": ",".join(image.drivers),
        "kiwi_strip_delete": " ".join(image.strip.delete),
        "kiwi_strip_tools": " ".join(image.strip.tools),
        "kiwi_strip_libs": " ".join(image.strip.libs),
        "kiwi_shasum_suffix": ".sha256",
    }


def _type(image: ImageDescription) -> dict[str, object]:
    kind = image.type
    loader = kind.bootloader or Bootloader()
    console = [loader.output_console, loader.input_console or loader.output_console]
    variables: dict[str, object] = {
        "kiwi_type": kind.image,
        "kiwi_compressed": kind.compressed,
        "kiwi_initrd_system": kind.initrd_system or "none",
        "kiwi_cmdline": kind.kernelcmdline,
        "kiwi_firmware": kind.firmware,
        "kiwi_filesystem": kind.filesystem,
        "kiwi_fsmountoptions": ",".join(kind.fsmountoptions),
        "kiwi_devicepersistency": kind.devicepersistency,
        "kiwi_bootloader": loader.name,
        "kiwi_bootloader_console": ":".join(
            "default" if name in (None, "none") else str(name) for name in console
        ),
        "kiwi_boot_timeout": loader.timeout,
        "kiwi_vga": loader.video_mode or "auto",
        "kiwi_luks_empty_passphrase": kind.attributes.get("luks") == "",
        "kiwi_align": _ALIGNMENT,
        "kiwi_sectorsize": kind.target_blocksize or _SECTOR,
        "kiwi_target_blocksize": kind.target_blocksize or _SECTOR,
        "kiwi_startsector": _START if kind.disk_start_sector is None else kind.disk_start_sector,
    }
    if kind.attributes.get("xen_server") == "true":
        variables["kiwi_xendomain"] = "dom0"
    return variables


def _text(value: object) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
