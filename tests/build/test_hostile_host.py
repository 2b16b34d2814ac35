"""A build gives equal bytes, whatever the host, its environment and its directories are like."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from small_build import PROGRAM

from kiwinb.settings import load_settings, settings_file

pytestmark = pytest.mark.build

KINDS = "cpio,ext4,xfs,squashfs"

_APT = 'APT::Install-Recommends "true"; APT::Architecture "s390x"; Dir::State "/nonexistent";\n'


def _variables(home: Path) -> Mapping[str, str]:
    """Variables that change what programs do, most of which a build runs."""
    files = {
        "apt.conf": _APT,
        "mke2fs.conf": "[defaults]\nblocksize = 1024\nbase_features = none\n",
        "exit.sh": "exit 3\n",
        ".mtoolsrc": "drive c: file=/nonexistent\nMTOOLS_LOWER_CASE=1\n",
        ".xorrisorc": "-volid HOSTILE\n",
        ".bashrc": "exit 3\n",
        ".profile": "exit 3\n",
        ".tmp": "",
    }
    for name, text in files.items():
        (home / name).write_text(text)
    return {
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home),
        "XDG_DATA_HOME": str(home),
        "LC_ALL": "C",
        "LANG": "tr_TR.UTF-8",
        "LANGUAGE": "tr",
        "TZ": "Asia/Kathmandu",
        "TAR_OPTIONS": "--numeric-owner --exclude=etc",
        "GZIP": "-1",
        "BZIP2": "-1",
        "XZ_OPT": "-0",
        "XZ_DEFAULTS": "--check=none",
        "ZSTD_CLEVEL": "1",
        "MKE2FS_CONFIG": str(home / "mke2fs.conf"),
        "MKE2FS_FIRST_META_BG": "1",
        "E2FSPROGS_FAKE_TIME": "1",
        "SOURCE_DATE_EPOCH": "1",
        "POSIXLY_CORRECT": "1",
        "GREP_OPTIONS": "-v",
        "BASH_ENV": str(home / "exit.sh"),
        "ENV": str(home / "exit.sh"),
        "BASHOPTS": "extdebug",
        "CDPATH": "/",
        "PERL5OPT": "-MNoSuchModule",
        "PERL5LIB": str(home),
        "PYTHONHASHSEED": "1",
        "PYTHONOPTIMIZE": "1",
        "PYTHONIOENCODING": "ascii",
        "APT_CONFIG": str(home / "apt.conf"),
        "DEBIAN_FRONTEND": "dialog",
        "DEBIAN_PRIORITY": "low",
        "DPKG_FORCE": "all",
        "DPKG_ROOT": "/nonexistent",
        "DPKG_COLORS": "always",
        "MTOOLSRC": str(home / ".mtoolsrc"),
        "LD_LIBRARY_PATH": str(home),
        "QEMU_CPU": "none",
        "QEMU_LD_PREFIX": str(home),
        "VERSION_CONTROL": "numbered",
        "SIMPLE_BACKUP_SUFFIX": ".orig",
        "PATCH_VERSION_CONTROL": "numbered",
        "COLUMNS": "7",
    }


def _hostile(directory: Path) -> Path:
    """Let a directory give what is made in it a group and an access list; see acl(5)."""
    directory.mkdir(exist_ok=True)
    entries = [(1, 7, -1), (2, 7, 1000), (4, 5, -1), (16, 7, -1), (32, 5, -1)]
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)
    os.setxattr(directory, "system.posix_acl_default", acl)
    if os.geteuid() == 0:
        os.chown(directory, -1, 1000)
    directory.chmod(0o2777)
    return directory


def _digests(directory: Path, environment: Mapping[str, str], umask: int) -> str:
    cache = str(load_settings().cache)
    own = {"KIWINB_CACHE": cache, "PYTHONPATH": os.pathsep.join(sys.path)}
    if settings_file().exists():
        own["KIWINB_CONFIG"] = str(settings_file())
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "create", str(directory)],
        env={**environment, **own},
        umask=umask,
        capture_output=True,
        text=True,
        check=False,
        timeout=1800,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.needs("mksquashfs", "mkfs.xfs")
def test_equal_bytes_on_a_hostile_host(tmp_path: Path) -> None:
    plain, odd = tmp_path / "plain", tmp_path / "odd"
    for place in (plain, odd):
        place.mkdir()
        words = [sys.executable, "-c", PROGRAM, "write", str(place), KINDS, "apt"]
        path = os.pathsep.join(sys.path)
        subprocess.run(words, check=True, env={**os.environ, "PYTHONPATH": path})
    home = tmp_path / "home"
    home.mkdir()
    usual = {name: value for name, value in os.environ.items() if name in ("HOME", "PATH")}
    expected = _digests(plain, usual, 0o022)
    _hostile(odd)
    temporary = {"TMPDIR": str(_hostile(tmp_path / "tmp")), "PATH": os.environ["PATH"]}
    assert _digests(odd, {**_variables(home), **temporary}, 0o077) == expected
    assert len(expected.splitlines()) == len(KINDS.split(",")) + 1
