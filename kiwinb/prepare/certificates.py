"""Add CA certificates to the image's trust store."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import ClassVar

from kiwinb.distributions import DISTRIBUTIONS
from kiwinb.sandbox.chroot import Chroot
from kiwinb.sandbox.paths import resolve_in
from kiwinb.steps.keys import Source
from kiwinb.steps.registry import Used
from kiwinb.steps.step import Output, StepContext


@dataclass(frozen=True)
class ImportCertificates:
    """Add CA certificates to the trust store of the tree.

    Attributes:
        distribution: The distribution that ``target_distribution`` names, which defines the store.
        certificates: The certificate files.
    """

    output: ClassVar[Output] = "tree"
    revision: ClassVar[int] = 1

    distribution: Used
    certificates: tuple[Source, ...]

    def run(self, context: StepContext) -> None:
        """Add the certificates.

        Raises:
            CommandError: The command that updates the store failed.
        """
        store = DISTRIBUTIONS.get_used(self.distribution).certificates
        directory = resolve_in(context.root, store.directory)
        directory.mkdir(parents=True, exist_ok=True)
        for certificate in self.certificates:
            target = directory / certificate.path.with_suffix(".crt").name
            target.unlink(missing_ok=True)
            shutil.copyfile(certificate.path, target)
            target.chmod(0o644)
        with Chroot(context.root, log=context.log) as chroot:
            chroot.run([store.command])
