"""The Python interface: appliances, from which you prepare root trees and create images.

::

    from kiwinb import Appliance

    appliance = Appliance("debian-server", type="oem")
    root = appliance.prepare()
    image = root.create("out")
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

from kiwinb.build.image import Image
from kiwinb.build.plan import BuildPlan
from kiwinb.build.root_tree import RootTree
from kiwinb.build.session import BuildSession, open_session
from kiwinb.checkpoints.store import Store
from kiwinb.description.document import Document
from kiwinb.description.model import ImageDescription
from kiwinb.description.override import Overrides
from kiwinb.errors import ImageError
from kiwinb.notebook.forecast import Forecast
from kiwinb.notebook.reprs import Explanation, Pairs, Steps, facts_html, facts_text
from kiwinb.settings import Settings
from kiwinb.steps.progress import Observer


@dataclass(frozen=True, repr=False, eq=False, init=False)
class Appliance:
    """An image description that is ready to be built; immutable, see :meth:`refresh`.

    Args:
        path: The description directory, or the description file in it.
        profiles: Profiles to select; by default those that the description selects.
        type: Image type to build; by default the primary type of the description.
        arch: Target architecture as ``uname -m`` prints it; by default that of the host.
        kiwi_file: Name of the description file, if there are several.
        overrides: Changes to the description.
        settings: Settings of this host; by default those of the user.
        observer: Gets the events of each step; by default, notebooks show a live panel.

    Attributes:
        session: Plans and runs its steps.

    Raises:
        DescriptionError: The description cannot be read or is not valid.
    """

    session: BuildSession

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        profiles: Sequence[str] = (),
        type: str | None = None,
        arch: str | None = None,
        kiwi_file: str | None = None,
        overrides: Overrides | None = None,
        settings: Settings | None = None,
        observer: Observer | None = None,
    ) -> None:
        session = open_session(
            path,
            profiles=profiles,
            type=type,
            arch=arch,
            kiwi_file=kiwi_file,
            overrides=overrides,
            settings=settings,
            observer=observer,
        )
        object.__setattr__(self, "session", session)

    @classmethod
    def of(cls, session: BuildSession) -> Appliance:
        """The appliance of a session."""
        made = cls.__new__(cls)
        object.__setattr__(made, "session", session)
        return made

    def __repr__(self) -> str:
        return facts_text("Appliance", self._facts())

    def _repr_html_(self) -> str:
        return facts_html("Appliance", self._facts())

    def _facts(self) -> Pairs:
        """The facts about the appliance; needs neither repositories nor the store."""
        image = self.description
        return (
            ("Image", f"{image.name} {image.version}"),
            ("Type", image.type.image),
            ("Architecture", image.arch),
            ("Profiles", ", ".join(image.profiles) or "none"),
            ("Package manager", image.preferences.packagemanager or "none"),
            ("Description", str(self.document.file)),
            ("Checkpoints", str(self.settings.store)),
        )

    @property
    def document(self) -> Document:
        """The description as read."""
        return self.session.document

    @property
    def description(self) -> ImageDescription:
        """The effective description: the selected parts of the document, with the overrides."""
        return self.session.description

    @property
    def overrides(self) -> Overrides:
        """The changes to the description."""
        return self.session.overrides

    @property
    def settings(self) -> Settings:
        """Settings of this host."""
        return self.session.settings

    @property
    def store(self) -> Store:
        """The checkpoint store."""
        return self.session.store

    @property
    def plan(self) -> BuildPlan:
        """The steps of the build and the files that it delivers.

        This reads the metadata of the repositories if no build on this host has read it before; see
        :meth:`refresh`.
        """
        return self.session.planned.plan

    @property
    def steps(self) -> Steps:
        """All steps of prepare and create, in order."""
        return self.session.steps

    def refresh(self) -> Appliance:
        """Read the metadata of the repositories again, to find newer packages.

        Returns:
            A new appliance with a plan for the current packages: ``appliance =
            appliance.refresh()``. This appliance keeps its plan.

        Raises:
            RepositoryError: A repository cannot be reached, or its signature is invalid.
        """
        return Appliance.of(self.session.refreshed())

    def observed_by(self, observer: Observer | None) -> Appliance:
        """A copy of the appliance with another observer."""
        return Appliance.of(replace(self.session, observer=observer))

    def check(self, target_dir: str | os.PathLike[str] | None = None) -> None:
        """Check the description and this host; every build starts with this.

        This also logs a warning, once, for everything in the description that kiwinb does not use.

        Args:
            target_dir: Directory that the build will write to, if known.

        Raises:
            CheckErrors: The appliance cannot be built, or not on this host; lists all problems.
        """
        self.session.check(target_dir)

    def effective(self) -> str:
        """The description as XML, reduced to the selected image."""
        return self.session.effective()

    def forecast_packages(self) -> Forecast:
        """The packages that the image will contain, including dependencies; installs nothing.

        The package manager resolves the same transactions as in a build, against the same state of
        the repositories. What scripts of the description install or remove is not in the forecast.
        If the image builds on a base container, the build's steps that unpack it run.

        Raises:
            CheckErrors: The appliance cannot be built on this host.
            PackageError: A package is missing, or packages conflict.
        """
        self.check()
        return self.session.forecast_packages()

    def explain(self) -> Explanation:
        """For each step, whether it will run, and which inputs changed since its last run."""
        return self.session.explain()

    def run_until(self, name: str) -> RootTree:
        """Run the steps up to and including one, and return its tree.

        Raises:
            ImageError: No step with this name makes a tree.
            KiwinbError: A step failed.
        """
        self.check()
        trees = {step.name: step for step in self.steps if step.output == "tree"}
        if name not in trees:
            raise ImageError(f"no step '{name}'", remedy=f"Its steps are: {', '.join(trees)}.")
        self.session.run([name])
        return RootTree(self.session, trees[name])

    def prepare(self) -> RootTree:
        """Prepare a root tree; runs only the steps that have to run.

        Raises:
            CheckErrors: The appliance cannot be built on this host.
            KiwinbError: A step failed; the results of the steps before it are kept.
        """
        self.check()
        return self.run_until(self.plan.prepare[-1].name)

    def build(self, target_dir: str | os.PathLike[str] = "out") -> Image:
        """Prepare and create an image; see :meth:`prepare` and :meth:`RootTree.create`."""
        self.check(target_dir)
        return RootTree(self.session, self.plan.prepare[-1]).create(target_dir)
