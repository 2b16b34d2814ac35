"""Plan a whole build: the prepare steps in KIWI NG's order, then those of the image kind.

Pure: what the steps read was resolved and fingerprinted before (:class:`BuildInputs`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from kiwinb.description.model import ImageDescription
from kiwinb.description.sources import Sources
from kiwinb.errors import ImageError
from kiwinb.images import IMAGE_KINDS
from kiwinb.images.container.derived import ImportBaseContainer, plan_base_container
from kiwinb.images.kind import ResultFile
from kiwinb.images.metadata import plan_metadata
from kiwinb.initrd.build import BuildInitrd
from kiwinb.packages.manager import RepositoryState, ResolvedRepository
from kiwinb.prepare.certificates import ImportCertificates
from kiwinb.prepare.cleanup import CleanUp
from kiwinb.prepare.identity import SetIdentity
from kiwinb.prepare.overlay import ImportOverlay, PlaceFiles, UnpackArchives
from kiwinb.prepare.packages import (
    Bootstrap,
    ConfigureRepositories,
    DeletePackages,
    InstallPackages,
)
from kiwinb.prepare.profile import profile_variables
from kiwinb.prepare.scripts import RunScript
from kiwinb.prepare.shell import functions_text
from kiwinb.prepare.users import SetupUsers
from kiwinb.steps.keys import Source
from kiwinb.steps.step import Action, DraftStep, Step, seal

BOOTABLE = ("oem", "iso", "kis", "pxe")
"""Image kinds that start a kernel of their own, and so need an initrd."""


@dataclass(frozen=True)
class BuildInputs:
    """Everything outside of the description that the steps of a build read.

    Attributes:
        sources: Overlays, scripts and archives of the description directory.
        repositories: The repositories, resolved.
        state: What the repositories hold.
        base: The container that the root tree starts from, if it does.
    """

    sources: Sources
    repositories: tuple[ResolvedRepository, ...]
    state: RepositoryState
    base: ImportBaseContainer | None = None


@dataclass(frozen=True)
class BuildPlan:
    """The steps of a build, and what it delivers.

    Attributes:
        prepare: Steps that leave the root tree; the last one's tree is the result.
        create: Steps that make the image from it.
        results: Files that ``create`` delivers.
    """

    prepare: tuple[Step, ...]
    create: tuple[Step, ...]
    results: tuple[ResultFile, ...]

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps, in the order in which they run."""
        return self.prepare + self.create


def plan_build(image: ImageDescription, inputs: BuildInputs) -> BuildPlan:
    """Plan the build of an image from its description.

    Raises:
        ImageError: No such kind of image is known, or it cannot be what the description asks.
    """
    start = plan_base_container(inputs.base) if inputs.base else ()
    after = start[-1].name if start else None
    prepare = seal((*start, *_chain(_prepare_actions(image, inputs), after=after)))
    return plan_create(image, inputs.sources.scripts, inputs.state.epoch, prepare)


def plan_create(
    image: ImageDescription, scripts: Mapping[str, Source], epoch: int, prepare: tuple[Step, ...]
) -> BuildPlan:
    """Plan the making of an image from the tree that prepare steps leave.

    Args:
        image: The effective description.
        scripts: Scripts of the description, by name.
        epoch: Time of what is made, in seconds since 1970-01-01 UTC.
        prepare: The steps before; the last one leaves the tree.

    Raises:
        ImageError: No such kind of image is known, or it cannot be what the description asks.
    """
    if image.type.image not in IMAGE_KINDS:
        raise ImageError(
            f"images of type {image.type.image} cannot be made yet",
            remedy=f"Choose one of: {', '.join(sorted(IMAGE_KINDS))}.",
        )
    drafts = _chain(_create_actions(image, scripts, epoch), after=prepare[-1].name)
    tree = drafts[-1].name if drafts else prepare[-1].name
    metadata = plan_metadata(image, tree)
    kind = IMAGE_KINDS[image.type.image].plan(image, tree, epoch)
    create = seal((*drafts, *kind.steps, *metadata.steps), before=prepare)
    return BuildPlan(prepare, create, (*kind.results, *metadata.results))


Named = tuple[str, str, Action]


def _chain(actions: Iterator[Named], after: str | None = None) -> tuple[DraftStep, ...]:
    """Steps each of which continues the tree of the one before."""
    drafts: list[DraftStep] = []
    for name, title, action in actions:
        drafts.append(DraftStep(name, title, action, base=drafts[-1].name if drafts else after))
    return tuple(drafts)


def _prepare_actions(image: ImageDescription, inputs: BuildInputs) -> Iterator[Named]:
    manager = image.preferences.packagemanager or ""
    build = tuple(item for item in inputs.repositories if item.used_for_build)
    state, files = inputs.state, inputs.sources.files
    packages = image.packages
    names = packages.image.packages

    if inputs.base is not None:
        names = tuple(dict.fromkeys((*packages.bootstrap.packages, *names)))
    else:
        yield (
            "bootstrap",
            "Bootstrap the root tree",
            Bootstrap(manager, build, state, packages.bootstrap.packages),
        )
    yield from _script(image, inputs.sources.scripts, state.epoch, "post_bootstrap.sh")
    for number, section in enumerate(image.certificates):
        sources = tuple(files[name] for name in section.names)
        yield (
            "certificates" + (f"-{number + 1}" if number else ""),
            "Add CA certificates",
            ImportCertificates(section.target_distribution, sources),
        )
    if names or packages.image.collections:
        yield (
            "packages",
            "Install the image packages",
            InstallPackages(
                manager,
                build,
                state,
                names,
                packages.image.collections,
                packages.image.ignore,
                packages.image.plus_recommended,
            ),
        )
    if archives := (*packages.bootstrap.archives, *packages.image.archives):
        unpack = UnpackArchives(tuple((item, files[item.name]) for item in archives))
        yield "archives", "Unpack archives", unpack
    if inputs.sources.overlays:
        yield "overlay", "Lay the overlay over the tree", ImportOverlay(inputs.sources.overlays)
    if image.users:
        users = SetupUsers(image.name, image.users, state.epoch)
        yield "users", "Set up users and groups", users
    if single := (*packages.bootstrap.files, *packages.image.files):
        yield "files", "Place files", PlaceFiles(tuple((item, files[item.name]) for item in single))
    yield (
        "identity",
        "Set host name, locale, keyboard and time zone",
        SetIdentity(
            image.name,
            image.id,
            image.preferences.locale,
            image.preferences.keytable,
            image.preferences.timezone,
        ),
    )
    if any(item.included_in_image for item in inputs.repositories):
        configure = ConfigureRepositories(manager, inputs.repositories)
        yield "repositories", "Configure the image's own repositories", configure
    yield from _script(image, inputs.sources.scripts, state.epoch, "config.sh")
    if packages.uninstall:
        uninstall = DeletePackages(manager, packages.uninstall, force=False)
        yield "uninstall", "Uninstall packages", uninstall
    if packages.delete:
        yield "delete", "Delete packages", DeletePackages(manager, packages.delete, force=True)
    if image.type.attributes.get("delta_root") == "true":
        scripts = inputs.sources.scripts
        yield from _script(image, scripts, state.epoch, "config-overlay.sh")
        yield from _script(image, scripts, state.epoch, "config-host-overlay.sh", on_host=True)
    yield "cleanup", "Clean up", CleanUp(manager, state.epoch)


def _create_actions(
    image: ImageDescription, scripts: Mapping[str, Source], epoch: int
) -> Iterator[Named]:
    yield from _script(image, scripts, epoch, "images.sh")
    if image.type.image in BOOTABLE:
        yield "initrd", "Build the initrd", BuildInitrd(image.type.initrd_system, epoch)


def _script(
    image: ImageDescription,
    scripts: Mapping[str, Source],
    epoch: int,
    name: str,
    *,
    on_host: bool = False,
) -> Iterator[Named]:
    if name in scripts:
        variables = profile_variables(image)
        action = RunScript(name, scripts[name], functions_text(), variables, epoch, on_host)
        yield name, f"Run {name}", action
