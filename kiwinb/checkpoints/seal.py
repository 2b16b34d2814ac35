"""The seal of a checkpoint: what it was when it was made, signed with the secret of its store.

A checkpoint that was changed, cut, or exchanged for another one does not fit its seal, and nobody
who does not know the secret can make another seal. Only kiwinb itself reads the secret; the
processes that run steps do not have it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from kiwinb.checkpoints.stamps import Stamps
from kiwinb.files import read_regular, replace_file
from kiwinb.steps.keys import NOT_IN_KEY, Digest, digest
from kiwinb.typed_json import loads

SEAL = "seal.json"
"""Name of the seal in the directory of a checkpoint."""


@dataclass(frozen=True)
class Seal:
    """A seal.

    Attributes:
        key: Key of the checkpoint.
        checkpoint: SHA-256 of its metadata, which have the digest of its manifest.
        log: SHA-256 of its log; empty if it has none.
        data: Stamps of its data.
        signature: Signature of all this; empty as long as the checkpoint is a draft.
    """

    key: Digest
    checkpoint: Digest
    log: Digest
    data: Stamps
    signature: str = field(default="", metadata=NOT_IN_KEY)

    def signed(self, secret: bytes) -> Seal:
        """The same seal with its signature."""
        return replace(self, signature=self._signature(secret))

    def is_signed(self, secret: bytes) -> bool:
        """Whether the signature was made with this secret, for these contents."""
        return hmac.compare_digest(self.signature, self._signature(secret))

    def _signature(self, secret: bytes) -> str:
        return hmac.new(secret, digest(self).encode(), hashlib.sha256).hexdigest()


def write_seal(seal: Seal, directory: Path, *, durable: bool = True) -> None:
    """Write the seal of a checkpoint, atomically; ``durable`` as for ``replace_file``."""
    text = json.dumps(asdict(seal), indent=2) + "\n"
    replace_file(directory / SEAL, text, durable=durable)


def read_seal(directory: Path) -> Seal:
    """Read the seal of a checkpoint, without looking at its signature.

    Raises:
        OSError: There is none, or it cannot be read.
        ValueError: It is damaged.
    """
    seal: Seal = loads(read_regular(directory / SEAL), Seal)
    return seal
