"""Check OpenPGP signatures of indexes, and read the text that they sign.

kiwinb keeps indexes, and checks them before each use with the program that apt uses: sqv or gpgv.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import tempfile
from collections.abc import Sequence
from enum import Enum
from pathlib import Path

from kiwinb.sandbox.command import run
from kiwinb.sandbox.tools import find_tool
from kiwinb.steps.keys import Digest

SIGNED_MESSAGE = b"-----BEGIN PGP SIGNED MESSAGE-----"
"""First line of a text with a cleartext signature."""

_SIGNATURE = b"-----BEGIN PGP SIGNATURE-----"
_END = b"-----END PGP SIGNATURE-----"
_KEY = b"-----BEGIN PGP PUBLIC KEY BLOCK-----"
_KEY_END = b"-----END PGP PUBLIC KEY BLOCK-----"

_SQV_METHOD = Path("/usr/lib/apt/methods/sqv")
_SQV_POLICIES = (
    Path("/etc/crypto-policies/back-ends/apt-sequoia.config"),
    Path("/var/lib/crypto-config/profiles/current/apt-sequoia.config"),
    Path("/usr/share/apt/default-sequoia.config"),
)
"""The policy that apt gives sqv: the first one that exists."""

_STRONG = frozenset({"8", "9", "10", "11"})
"""Numbers of SHA-256, SHA-384, SHA-512 and SHA-224; RFC 9580, section 9.5."""


class Flaw(Enum):
    """What is wrong with a signature, as far as it can be told."""

    CHANGED = "it, or what it signs, was changed"
    EXPIRED = "it is by a key that has expired or was revoked, or has expired itself"
    UNKNOWN_KEY = "it is by another key"
    NOT_VALID = "it is not valid"


def split_signed(data: bytes) -> tuple[bytes, bytes]:
    """Split a file with a cleartext signature (RFC 9580, section 7) into text and signature.

    Raises:
        ValueError: It is no such file, or there is text that is not signed.
    """
    lines = [line.rstrip(b" \t\r") for line in data.split(b"\n")]
    try:
        if lines[0] != SIGNED_MESSAGE:
            raise ValueError("it does not begin with a signed text")
        start = lines.index(b"") + 1
        middle = lines.index(_SIGNATURE)
        end = lines.index(_END)
    except (IndexError, ValueError):
        raise ValueError("it has no complete signature") from None
    if any(not line.startswith(b"Hash: ") for line in lines[1 : start - 1]) or any(
        lines[end + 1 :]
    ):
        raise ValueError("it has text that is not signed")
    text = [line.removeprefix(b"- ") for line in lines[start:middle]]
    return b"\n".join(text), b"\n".join([*lines[middle : end + 1], b""])


def is_signed_by(file: Path, keyrings: Sequence[bytes], detached: Path | None = None) -> bool:
    """Tell whether one of some keys signs an index; see :func:`flaw_of`."""
    return flaw_of(file, keyrings, detached) is None


def flaw_of(file: Path, keyrings: Sequence[bytes], detached: Path | None = None) -> Flaw | None:
    """Tell what is wrong with the signature of an index.

    Args:
        file: The index.
        keyrings: Contents of the key files, armored or not.
        detached: The file with its signature, if it has none itself.

    Returns:
        ``None`` if one of the keys signs the index.

    Raises:
        HostError: This host has neither sqv nor gpgv.
    """
    try:
        if detached is None:
            text, signature = split_signed(file.read_bytes())
        else:
            text, signature = file.read_bytes(), detached.read_bytes()
        keys = [_binary(key) for key in keyrings]
    except (OSError, ValueError):
        return Flaw.NOT_VALID
    with tempfile.TemporaryDirectory() as work:
        names = [Path(work, f"{number}.gpg") for number in range(len(keys))]
        for name, key in zip(names, keys, strict=True):
            name.write_bytes(key)
        said, signed = Path(work, "signature"), Path(work, "text")
        said.write_bytes(signature)
        signed.write_bytes(text)
        options = [word for name in names for word in ("--keyring", str(name))]
        use_sqv = _SQV_METHOD.exists()
        return (_sqv if use_sqv else _gpgv)([*options, str(said), str(signed)], Path(work))


def _sqv(arguments: Sequence[str], _home: Path) -> Flaw | None:
    """It prints the fingerprints of the keys whose signatures are valid, and reasons for people."""
    policy = next((file for file in _SQV_POLICIES if file.exists()), None)
    env = {"SEQUOIA_CRYPTO_POLICY": str(policy)} if policy else {}
    is_valid = run([find_tool("sqv"), *arguments], env=env, check=False).strip()
    return None if is_valid else Flaw.NOT_VALID


def _gpgv(arguments: Sequence[str], home: Path) -> Flaw | None:
    """Read what gpgv says of each signature; its status counts those by other keys as failures."""
    options = ["--homedir", str(home), "--weak-digest", "SHA1", "--status-fd", "1"]
    good = valid = False
    flaw = Flaw.NOT_VALID
    for line in run([find_tool("gpgv"), *options, *arguments], check=False).splitlines():
        word, *values = line.removeprefix("[GNUPG:] ").split(" ")
        if word == "BADSIG":
            return Flaw.CHANGED
        if word in ("GOODSIG", "EXPSIG", "EXPKEYSIG", "REVKEYSIG", "ERRSIG"):
            good = word == "GOODSIG"
            if word in ("EXPSIG", "EXPKEYSIG", "REVKEYSIG"):
                flaw = Flaw.EXPIRED
        elif word == "NO_PUBKEY":
            flaw = Flaw.UNKNOWN_KEY
        elif word == "VALIDSIG":
            valid |= good and values[7] in _STRONG
    return None if valid else flaw


def _binary(key: bytes) -> bytes:
    """Remove the armor of a key file, which may have several blocks.

    Raises:
        ValueError: The armor is damaged.
    """
    if _KEY not in key:
        return key
    found = []
    for block in key.replace(b"\r\n", b"\n").split(_KEY)[1:]:
        body = block.partition(_KEY_END)[0].strip(b"\n ")
        head, blank, rest = body.partition(b"\n\n")
        lines = (rest if blank and b":" in head else body).split(b"\n")
        packed = b"".join(line.strip() for line in lines if not line.startswith(b"="))
        try:
            found.append(base64.b64decode(packed, validate=True))
        except binascii.Error:
            raise ValueError("the armor of a key is damaged") from None
    return b"".join(found)


def sha256_of(file: Path) -> Digest:
    """Return the SHA-256 of a file."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


_ALGORITHMS = {64: "sha256", 96: "sha384", 128: "sha512"}


def digest_of(file: Path, length: int) -> Digest:
    """Return the digest of a file, of the algorithm whose digests have so many digits.

    Args:
        file: The file.
        length: 64 for SHA-256, 96 for SHA-384, or 128 for SHA-512.
    """
    with file.open("rb") as content:
        return hashlib.file_digest(content, _ALGORITHMS[length]).hexdigest()


def is_strong(digest: str) -> bool:
    """Tell whether a digest in hexadecimal is of an algorithm that nobody can forge."""
    return len(digest) in _ALGORITHMS and all(letter in "0123456789abcdef" for letter in digest)
