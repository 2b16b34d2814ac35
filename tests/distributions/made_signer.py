"""OpenPGP keys of this machine's small distributions."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from made_packages import EPOCH
from made_tools import run_tool

NAME = "Test Distribution <test@example.org>"
OTHER = "Somebody Else <else@example.org>"

_CONFIG = f"faked-system-time {EPOCH}\n"
"""The keys and the signatures are as old as the packages."""


@dataclass(frozen=True)
class Signer:
    """What signs.

    Attributes:
        cache: Directory of the secret keys of this machine.
        home: Home directory of GnuPG, which has the secret key.
        key: The public key.
        other_key: A public key that signs nothing.
    """

    cache: Path
    home: Path
    key: bytes
    other_key: bytes

    @property
    def environment(self) -> dict[str, str]:
        """Variables for programs that sign."""
        return {"GNUPGHOME": str(self.home)}

    def gpg(self, *arguments: str | Path) -> bytes:
        """Run gpg and return its output."""
        return _gpg(self.home, arguments)

    def sign(self, file: Path, *, armor: bool = False) -> Path:
        """Write a signature next to a file; return its path."""
        signature = file.with_name(f"{file.name}.{'asc' if armor else 'sig'}")
        options = ["--armor"] if armor else []
        self.gpg(*options, "--local-user", NAME, "--output", signature, "--detach-sign", file)
        return signature


@contextmanager
def signer(cache: Path) -> Iterator[Signer]:
    """Use the secret keys in a directory, which are made if they are not there.

    Args:
        cache: The directory; only its owner can read it.
    """
    secret = cache / "secret.asc"
    # The path of the agent's socket is in there, and may not be longer than 107 bytes.
    home = Path(tempfile.mkdtemp(dir="/tmp", prefix="gpg-"))
    (home / "gpg.conf").write_text(_CONFIG)
    try:
        if secret.exists():
            _gpg(home, ["--import", secret])
        else:
            for name in (NAME, OTHER):
                _gpg(home, ["--quick-gen-key", name, "rsa3072", "sign", "never"])
            cache.mkdir(parents=True, exist_ok=True, mode=0o700)
            fresh = cache / "secret.new"
            fresh.write_bytes(_gpg(home, ["--armor", "--export-secret-keys"]))
            fresh.chmod(0o600)
            fresh.rename(secret)
        key, other = (_gpg(home, ["--armor", "--export", name]) for name in (NAME, OTHER))
        yield Signer(cache, home, key, other)
    finally:
        subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=False)
        shutil.rmtree(home, ignore_errors=True)


def _gpg(home: Path, arguments: Sequence[str | Path]) -> bytes:
    options = ("--batch", "--quiet", "--homedir", home, "--passphrase", "")
    return run_tool(["gpg", *options, *arguments])
