"""Plan a whole build: the prepare steps in KIWI NG's order, then those of the image kind.

Planning is pure: :class:`BuildInputs` holds everything that the steps read, resolved and
fingerprinted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from kiwinb.description.model import ImageDescription
from kiwinb.description.passwords import hashed
from kiwinb.distributions import DISTRIBUTIONS, named, used_with
from kiwinb.images import IMAGE_KINDS
from kiwinb.images.container.derived import plan_base_container
from kiwinb.images.inputs import BuildInputs
from kiwinb.images.kind import ResultFile
from kiwinb.images.metadata import plan_metadata
from kiwinb.initrd.build import plan_initrd
from kiwinb.packages import MANAGERS
from kiwinb.packages.manager import PackageChanges, PackageRequest
from kiwinb.packages.traces import BY_PRODUCTS
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
from kiwinb.prepare.scripts import RunScript
from kiwinb.prepare.users import SetupUsers
from kiwinb.steps.step import Action, DraftStep, Step, seal

INITRD = "initrd"
"""Name of the step that builds the initrd."""


@dataclass(frozen=True)
class BuildPlan:
    """The steps of a build, and the files that it delivers.

    Attributes:
        prepare: Steps that prepare the root tree; the tree of the last one is the result.
        create: Steps that create the image from the tree.
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
        ImageError: kiwinb does not know the image type, or it does not support what the description
            asks for.
    """
    inputs = _with_variables(image, inputs)
    start = plan_base_container(inputs.base) if inputs.base else ()
    after = start[-1].name if start else None
    prepare = seal((*start, *_chain(_prepare_actions(image, inputs), after=after)))
    return plan_create(image, inputs, prepare)


def plan_create(
    image: ImageDescription, inputs: BuildInputs, prepare: tuple[Step, ...]
) -> BuildPlan:
    """Plan how to create an image from the tree that prepare steps make.

    Args:
        image: The effective description.
        inputs: The other inputs of the build.
        prepare: The prepare steps; the last one makes the tree.

    Raises:
        ImageError: kiwinb does not know the image type, or it does not support what the description
            asks for.
    """
    kind = IMAGE_KINDS.find(image.type.image)
    inputs = _with_variables(image, inputs)
    drafts = _chain(_script(image, inputs, "images.sh"), after=prepare[-1].name)
    tree = drafts[-1].name if drafts else prepare[-1].name
    metadata = plan_metadata(image, tree)  # no package owns an initrd, so this need not wait for it
    if kind.boots:
        distributions = used_with(image.preferences.packagemanager)
        action = plan_initrd(image.type.initrd_system, inputs.epoch, distributions)
        drafts = (*drafts, DraftStep(INITRD, "Build the initrd", action, base=tree))
        tree = INITRD
    made = kind.plan(image, inputs, tree)
    made_by = IMAGE_KINDS.use(kind.name)
    steps = tuple(replace(step, made_by=made_by) for step in made.steps)
    create = seal((*drafts, *steps, *metadata.steps), before=prepare)
    return BuildPlan(prepare, create, (*made.results, *metadata.results))


def _with_variables(image: ImageDescription, inputs: BuildInputs) -> BuildInputs:
    return replace(inputs, variables=IMAGE_KINDS.find(image.type.image).variables(image))


Named = tuple[str, str, Action]


def _chain(actions: Iterator[Named], after: str | None = None) -> tuple[DraftStep, ...]:
    """Steps, each of which continues the tree of the previous one."""
    drafts: list[DraftStep] = []
    for name, title, action in actions:
        drafts.append(DraftStep(name, title, action, base=drafts[-1].name if drafts else after))
    return tuple(drafts)


def bootstrap_request(image: ImageDescription, inputs: BuildInputs) -> PackageRequest:
    """The request for the first packages of an empty tree."""
    assert inputs.state is not None, "packages are installed from repositories"
    preferences = image.preferences
    return PackageRequest(
        image.arch,
        tuple(item for item in inputs.repositories if item.used_for_build),
        inputs.state,
        packages=image.packages.bootstrap.packages,
        excludedocs=preferences.rpm_excludedocs,
        packages_checked=preferences.rpm_check_signatures is True,
        release_version=preferences.release_version,
    )


def install_request(image: ImageDescription, inputs: BuildInputs) -> PackageRequest:
    """The request for the packages to install after the bootstrap."""
    wanted = image.packages.image
    names = wanted.packages
    if inputs.base is not None:
        names = tuple(dict.fromkeys((*image.packages.bootstrap.packages, *names)))
    return replace(
        bootstrap_request(image, inputs),
        packages=names,
        collections=wanted.collections,
        products=wanted.products,
        modules=wanted.collection_modules,
        ignore=wanted.ignore,
        recommended=wanted.plus_recommended,
    )


def package_changes(image: ImageDescription, inputs: BuildInputs) -> PackageChanges:
    """All that the build does with packages, in order."""
    return PackageChanges(
        bootstrap_request(image, inputs) if inputs.base is None else None,
        install_request(image, inputs),
        image.packages.uninstall,
        image.packages.delete,
    )


def _prepare_actions(image: ImageDescription, inputs: BuildInputs) -> Iterator[Named]:
    yield from _package_actions(image, inputs)
    yield from _file_actions(image, inputs)
    yield from _final_actions(image, inputs)


def _package_actions(image: ImageDescription, inputs: BuildInputs) -> Iterator[Named]:
    manager = MANAGERS.use(image.preferences.packagemanager)
    changes = package_changes(image, inputs)
    if changes.bootstrap is not None:
        yield "bootstrap", "Bootstrap the root tree", Bootstrap(manager, changes.bootstrap)
    yield from _script(image, inputs, "post_bootstrap.sh")
    for number, section in enumerate(image.certificates):
        sources = tuple(inputs.sources.files[name] for name in section.names)
        yield (
            "certificates" + (f"-{number + 1}" if number else ""),
            "Add CA certificates",
            ImportCertificates(DISTRIBUTIONS.use(named(section.target_distribution).name), sources),
        )
    if changes.install.packages or changes.install.collections:
        install = InstallPackages(manager, changes.install)
        yield "packages", "Install the image packages", install


def _file_actions(image: ImageDescription, inputs: BuildInputs) -> Iterator[Named]:
    packages, files = image.packages, inputs.sources.files
    if archives := (*packages.bootstrap.archives, *packages.image.archives):
        unpack = UnpackArchives(tuple((item, files[item.name]) for item in archives))
        yield "archives", "Unpack archives", unpack
    if inputs.sources.overlays:
        yield "overlay", "Copy the overlay into the tree", ImportOverlay(inputs.sources.overlays)
    if image.users:
        users = SetupUsers(tuple(hashed(user, image.name) for user in image.users), inputs.epoch)
        yield "users", "Set up users and groups", users
    if single := (*packages.bootstrap.files, *packages.image.files):
        yield "files", "Place files", PlaceFiles(tuple((item, files[item.name]) for item in single))


def _final_actions(image: ImageDescription, inputs: BuildInputs) -> Iterator[Named]:
    manager = MANAGERS.use(image.preferences.packagemanager)
    changes = package_changes(image, inputs)
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
    yield from _script(image, inputs, "config.sh")
    if changes.uninstall:
        uninstall = DeletePackages(manager, changes.uninstall, force=False)
        yield "uninstall", "Uninstall packages", uninstall
    if changes.delete:
        yield "delete", "Delete packages", DeletePackages(manager, changes.delete, force=True)
    if image.type.attributes.get("delta_root") == "true":
        yield from _script(image, inputs, "config-overlay.sh")
        yield from _script(image, inputs, "config-host-overlay.sh", on_host=True)
    yield "cleanup", "Clean up", CleanUp(inputs.epoch)


def _script(
    image: ImageDescription, inputs: BuildInputs, name: str, *, on_host: bool = False
) -> Iterator[Named]:
    if (script := inputs.script(image, name)) is not None:
        manager = MANAGERS.get(image.preferences.packagemanager or "")
        traces = (*BY_PRODUCTS, *(manager.traces if manager else ()))
        yield name, f"Run {name}", RunScript(script, on_host, traces)
