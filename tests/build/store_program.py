"""Run the steps of a store test in a process of its own, as one user or another."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Account:
    """A user who runs steps.

    Attributes:
        user: Login name.
        switch: Words that go before a command to run it as that user.
    """

    user: str
    switch: tuple[str, ...]

    @property
    def rootless(self) -> bool:
        """It is not root."""
        return self.user != "root"

    def start(self, program: str, *arguments: str, mark: str = "") -> subprocess.Popen[str]:
        """Start a Python program; ``mark`` is in the environment of all that it starts."""
        command = [*self.switch, *_python(self.user, mark), "-c", program, *arguments]
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd="/"
        )

    def run(self, program: str, *arguments: str, timeout: float = 300) -> str:
        """Run a Python program to its end, at most so many seconds; return what it prints."""
        process = self.start(program, *arguments)
        out, err = process.communicate(timeout=timeout)
        assert process.returncode == 0, err
        return out

    @contextmanager
    def directory(self) -> Iterator[Path]:
        """A directory of this user, removed with all that is in it."""
        made = Path(tempfile.mkdtemp(prefix="kiwinb-store-"))
        try:
            if os.getuid() == 0:
                shutil.chown(made, self.user)
            yield made
        finally:
            self.run(_REMOVE, str(made))
            if made.exists():
                made.rmdir()


_REMOVE = """
import sys
from pathlib import Path
from kiwinb.checkpoints.jobs import remove
from kiwinb.sandbox.worker import call
call(remove, tuple(Path(sys.argv[1]).iterdir()))
"""


def _python(user: str, mark: str) -> Sequence[str]:
    home = f"HOME={pwd.getpwnam(user).pw_dir}"
    return (
        "env",
        home,
        f"PYTHONPATH={os.pathsep.join(sys.path)}",
        f"KIWINB_TEST_MARK={mark}",
        sys.executable,
    )


_SHOW_CHECKOUT = """
set -e
held=$(mktemp -d); mount --bind "$1" "$held"; mount -t tmpfs -o mode=755 none "$2"
mkdir -p "$1"; mount --move "$held" "$1"; rmdir "$held"; shift 2; exec "$@"
"""


def become(name: str) -> tuple[str, ...]:
    """Words that make root another user, who can read this checkout wherever it is."""
    words = ("setpriv", f"--reuid={name}", f"--regid={name}", "--init-groups")
    checkout = HERE.parents[1]
    hidden = [path for path in (*reversed(checkout.parents), checkout) if not _open_to_all(path)]
    if not hidden:
        return words
    if hidden[0] == checkout:
        checkout.chmod(0o755)
        return words
    shown = ("unshare", "--mount", "sh", "-c", _SHOW_CHECKOUT, "sh", str(checkout), str(hidden[0]))
    return (*shown, *words)


def _open_to_all(path: Path) -> bool:
    return path.stat().st_mode & 0o5 == 0o5


def accounts() -> tuple[Account, ...]:
    """Root, as far as we can become root, and a user with subordinate ids, as far as there is one.

    The user who runs the tests is always one of them.
    """
    own = pwd.getpwuid(os.getuid()).pw_name
    if own != "root":
        sudo = ("sudo", "-n")
        return (Account(own, ()), *_usable([Account("root", sudo)]))
    users = [Account(name, become(name)) for name in dict.fromkeys(_subordinate_users())]
    return (Account(own, ()), *_usable(users)[:1])


def _subordinate_users() -> Iterator[str]:
    file = Path("/etc/subuid")
    for line in file.read_text().splitlines() if file.exists() else ():
        name = line.partition(":")[0]
        try:
            pwd.getpwnam(name)
        except KeyError:
            continue
        yield name


def _usable(candidates: Sequence[Account]) -> list[Account]:
    return [account for account in candidates if _is_usable(account)]


def _is_usable(account: Account) -> bool:
    probe = "from kiwinb.sandbox.worker import probe; probe()"
    try:
        process = account.start(probe)
    except OSError:
        return False  # no sudo, no setpriv
    process.communicate()
    return process.returncode == 0
