"""Directories of kiwinb's own: nobody else may look into them, and the host does not show in them.

A store has programs that are setuid root, and files that only the root of an image may read. What
kiwinb makes in a directory inherits the directory's group and default access list, and would bring
them into images. So these directories have the mode 0700, their owner's own group, and no access
lists.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from kiwinb.files import replace_file

_MODE = 0o700
_ACCESS_LISTS = ("system.posix_acl_access", "system.posix_acl_default")
_SIGNATURE = "Signature: 8a477f597d28d172789f06886806bc55"
"""Of cache directories, see https://bford.info/cachedir/."""


def make_private(directory: Path) -> None:
    """Create a directory for its owner alone; leave one that exists as it is.

    Raises:
        OSError: It cannot be created.
    """
    directory.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        directory.mkdir(_MODE)
        tighten([directory])
    if not directory.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(directory))


def tighten(directories: Iterable[Path], mode: int = _MODE) -> None:
    """Take away what others may do in these directories, and what would be inherited from them.

    Directories of other users are left alone.

    Args:
        directories: The directories.
        mode: Their new mode.

    Raises:
        OSError: They cannot be changed.
    """
    for directory in directories:
        status = directory.lstat()
        if status.st_uid != os.geteuid() or not stat.S_ISDIR(status.st_mode):
            continue
        for name in _ACCESS_LISTS:
            try:
                os.removexattr(directory, name)
            except OSError as error:
                if error.errno not in (errno.ENODATA, errno.ENOTSUP):
                    raise
        if status.st_gid != os.getegid():
            os.chown(directory, -1, os.getegid())
        if stat.S_IMODE(status.st_mode) != mode:
            directory.chmod(mode)


def make_private_cache(cache: Path) -> None:
    """Create the download cache, or tighten the one that kiwinb has created.

    A directory that the user made may have other things in it, so it keeps its mode. The tag also
    tells programs that make backups to leave the cache out.

    Raises:
        OSError: It cannot be created.
    """
    tag = cache / "CACHEDIR.TAG"
    is_own = not cache.exists() or cache.parent.name == "kiwinb" or tag.exists()
    make_private(cache)
    if is_own:
        tighten([cache])
        if not tag.exists():
            replace_file(tag, f"{_SIGNATURE}\n# The download cache of kiwinb.\n")
