"""Have each machine that starts an image make its own SSH host keys."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from kiwinb.sandbox.paths import resolve_in
from kiwinb.sandbox.tree_files import read_text_in, write_in

KEYS = "etc/ssh/ssh_host_*_key"
"""Pattern of the private host keys of OpenSSH."""

_NAME = "kiwinb-ssh-host-keys.service"
_UNITS = "/etc/systemd/system"
_UNIT_DIRECTORIES = (_UNITS, "/usr/local/lib/systemd/system", "/usr/lib/systemd/system")
_NEEDED = ("/usr/lib/systemd/systemd", "/usr/sbin/sshd", "/usr/bin/ssh-keygen")
_MAKES_KEYS = re.compile(r"^Exec\w+=.*(ssh-keygen|sshd-keygen|sshd-gen-keys)", re.MULTILINE)
_FIRST_BOOT = re.compile(r"^ConditionFirstBoot=", re.MULTILINE)

_UNIT = f"""\
[Unit]
Description=Make the SSH host keys of this machine
Documentation=man:ssh-keygen(1)
DefaultDependencies=no
ConditionPathExistsGlob=!/{KEYS}
ConditionPathIsReadWrite=/etc/ssh
RequiresMountsFor=/etc/ssh
After=systemd-remount-fs.service
Before=ssh.service ssh.socket sshd.service sshd.socket sshd-keygen.service shutdown.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/bin/ssh-keygen -A

[Install]
WantedBy=multi-user.target
"""


def ensure_host_keys(root: Path, log: Callable[[str], None]) -> None:
    """Add a unit of systemd that makes SSH host keys, if the tree needs one.

    It does if it has sshd, but neither host keys nor a unit of its own that makes them at any
    start. Debian 13 has a unit that works at the first boot only in the sense of
    ``ConditionFirstBoot``, which an empty ``/etc/machine-id`` is not.

    Args:
        root: The root tree.
        log: Called with a line that says what was added.
    """
    keys = Path(KEYS)
    if any(resolve_in(root, keys.parent).glob(keys.name)) or _makes_keys(root):
        return
    if not all(resolve_in(root, name).exists() for name in _NEEDED):
        return
    unit = resolve_in(root, f"{_UNITS}/{_NAME}", follow_last=False)
    if unit.is_symlink():
        return  # the description has masked it, or brings another one
    wanted = resolve_in(root, f"{_UNITS}/multi-user.target.wants")
    wanted.mkdir(parents=True, exist_ok=True)
    write_in(root, f"{_UNITS}/{_NAME}", _UNIT)
    (wanted / _NAME).unlink(missing_ok=True)
    (wanted / _NAME).symlink_to(f"../{_NAME}")
    log(f"each machine makes its SSH host keys when it starts ({_NAME})")


def _makes_keys(root: Path) -> bool:
    """Whether a unit makes keys; one in ``/etc`` replaces or masks that of the same name."""
    seen = {_NAME}
    for directory in _UNIT_DIRECTORIES:
        for name in sorted(file.name for file in resolve_in(root, directory).glob("*.service")):
            if name in seen:
                continue
            seen.add(name)
            if resolve_in(root, f"{directory}/{name}").is_file():
                text = read_text_in(root, f"{directory}/{name}")
                if _MAKES_KEYS.search(text) and not _FIRST_BOOT.search(text):
                    return True
    return False
