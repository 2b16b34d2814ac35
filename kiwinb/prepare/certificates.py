"""CA certificates for the image's own trust store."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import ClassVar

from kiwinb.sandbox.chroot import Chroot
from kiwinb.sandbox.paths import resolve_in
from kiwinb.steps.keys import Source
from kiwinb.steps.step import Output, StepContext

_STORES = {
    "suse": ("/etc/pki/trust/anchors", "update-ca-certificates"),
    "redhat": ("/etc/pki/ca-trust/source/anchors", "update-ca-trust"),
    "debian": ("/usr/local/share/ca-certificates", "update-ca-certificates"),
    "archlinux": ("/etc/ca-certificates/trust-source/anchors", "update-ca-trust"),
}


@dataclass(frozen=True)
class ImportCertificates:
    """Add CA certificates to the trust store of the tree.

    Attributes:
        distribution: ``target_distribution``: says where the store is.
        certificates: The certificate files.
    """

    output: ClassVar[Output] = "tree"
    revision: ClassVar[int] = 1

    distribution: str
    certificates: tuple[Source, ...]

    def run(self, context: StepContext) -> None:
        """Add them."""
        place, tool = _STORES[self.distribution]
        directory = resolve_in(context.root, place)
        directory.mkdir(parents=True, exist_ok=True)
        for certificate in self.certificates:
            target = directory / certificate.path.with_suffix(".crt").name
            target.unlink(missing_ok=True)
            shutil.copyfile(certificate.path, target)
            target.chmod(0o644)
        with Chroot(context.root, log=context.log) as chroot:
            chroot.run([tool])
