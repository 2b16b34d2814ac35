"""The Python interface: an appliance, of which a root tree is prepared and an image created.

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
from kiwinb.notebook.reprs import Explanation, Pairs, Steps, facts_html, facts_text
from kiwinb.packages.manager import AvailablePackage
from kiwinb.settings import Settings
from kiwinb.steps.progress import Observer


@dataclass(frozen=True, repr=False, eq=False, init=False)
class Appliance:
    """An image description, opened to be built. It never changes: :meth:`refresh` gives another.

    Args:
        path: The description directory, or the description file in it.
        profiles: Profiles to select; the description's own defaults when empty.
        type: Image type to build; the description's primary one when ``None``.
        arch: Target architecture as ``uname -m`` prints it; the host's when ``None``.
        kiwi_file: Name of the description file, when there are several.
        overrides: What is to be different from the description.
        settings: Settings of this host; the user's own when ``None``.
        observer: Told what happens to each step; in a notebook, a live panel when ``None``.

    Attributes:
        session: What plans and runs its steps.

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
        """What is what; asks no repository and opens no store."""
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
        """The description as it was read."""
        return self.session.document

    @property
    def description(self) -> ImageDescription:
        """What is built: the selected parts of the document, with the overrides."""
        return self.session.description

    @property
    def overrides(self) -> Overrides:
        """What is different from the description."""
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
        """The steps of the build and what it delivers.

        Reads the metadata of the repositories when no build of this host did before; see
        :meth:`refresh`.
        """
        return self.session.planned.plan

    @property
    def steps(self) -> Steps:
        """All steps of prepare and create, in order."""
        return self.session.steps

    def refresh(self) -> Appliance:
        """Read the metadata of the repositories anew, so that newer packages are seen.

        Returns:
            The appliance with a plan that follows from what they hold now; this one keeps its
            own: ``appliance = appliance.refresh()``.

        Raises:
            RepositoryError: A repository cannot be reached, or its signature does not hold.
        """
        return Appliance.of(self.session.refreshed())

    def observed_by(self, observer: Observer | None) -> Appliance:
        """The same appliance, whose steps are told to somebody else."""
        return Appliance.of(replace(self.session, observer=observer))

    def check(self, target_dir: str | os.PathLike[str] | None = None) -> None:
        """Run the checks of the description and of this host; every build does so first.

        What the description says and kiwinb does not use is logged as warnings, once.

        Args:
            target_dir: Directory that the build is to write to, if that is known.

        Raises:
            CheckErrors: It cannot be built, or not here; says all that was found.
        """
        self.session.check(target_dir)

    def effective(self) -> str:
        """The description as XML, with nothing but what the selected image is made of."""
        return self.session.effective()

    def forecast_packages(self) -> tuple[AvailablePackage, ...]:
        """The packages that the image gets, dependencies included, before anything is installed.

        Raises:
            CheckErrors: It cannot be built here.
            PackageError: A package is not there, or they do not go together.
        """
        self.check()
        return self.session.forecast_packages()

    def explain(self) -> Explanation:
        """For each step, whether it will run, and which of its inputs changed since it last did."""
        return self.session.explain()

    def run_until(self, name: str) -> RootTree:
        """Run the steps up to and including the one of that name, and take its tree.

        Raises:
            ImageError: No step that leaves a tree has that name.
            KiwinbError: A step failed.
        """
        self.check()
        trees = {step.name: step for step in self.steps if step.output == "tree"}
        if name not in trees:
            raise ImageError(f"no step '{name}'", remedy=f"Its steps are: {', '.join(trees)}.")
        self.session.run([name])
        return RootTree(self.session, trees[name])

    def prepare(self) -> RootTree:
        """Turn the description into an unpacked root tree; only what has to run runs.

        Raises:
            CheckErrors: It cannot be built here.
            KiwinbError: A step failed; what ran before it is kept.
        """
        self.check()
        return self.run_until(self.plan.prepare[-1].name)

    def build(self, target_dir: str | os.PathLike[str] = "out") -> Image:
        """Prepare and create in one go; see :meth:`prepare` and :meth:`RootTree.create`."""
        self.check(target_dir)
        return RootTree(self.session, self.plan.prepare[-1]).create(target_dir)
