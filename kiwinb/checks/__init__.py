"""Runtime checks, which find problems of a build before it starts.

Each check is a pure function of a :class:`Subject`. All checks run before anything is built, and
all problems are reported at once. Most checks have KIWI NG's names; a few are kiwinb's own. To add
a check, write a function in the module of its topic and add it to ``_ALL``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping

from kiwinb.checks import (
    about,
    container,
    disk,
    initrd,
    keyboard,
    machine,
    media,
    places,
    repositories,
    support,
    volumes,
)
from kiwinb.checks.host import gather
from kiwinb.checks.problem import CheckErrors, Problem, Subject
from kiwinb.description.document import Document, read
from kiwinb.description.model import ImageDescription
from kiwinb.description.select import reduced, select
from kiwinb.errors import DescriptionError, KiwinbError
from kiwinb.settings import Settings
from kiwinb.spelling import near_names

__all__ = [
    "CHECKS",
    "NOT_NEEDED",
    "CheckErrors",
    "Problem",
    "Subject",
    "check",
    "make_subject",
    "problems",
]

Check = Callable[[Subject], Iterator[Problem]]

_ALL: tuple[Check, ...] = (
    about.include_references_unresolvable,
    about.image_version_provided,
    about.image_type_unique,
    support.description_supported,
    support.image_type_supported,
    support.image_kind_refuses_nothing,
    support.package_manager_supported,
    support.host_tools_installed,
    support.host_tools_new_enough,
    support.host_tools_suffice,
    support.foreign_architecture_runs_here,
    repositories.repositories_configured,
    repositories.lists_of_mirrors_supported,
    repositories.image_include_repos_publicly_resolvable,
    keyboard.keytable_known,
    places.target_dir_on_unsupported_filesystem,
    places.target_directory_not_in_shared_cache,
    volumes.volume_label_used_with_lvm,
    volumes.swap_name_used_with_lvm,
    volumes.volume_setup_defines_reserved_labels,
    volumes.volume_setup_defines_multiple_fullsize_volumes,
    volumes.volume_setup_has_no_root_definition,
    disk.partuuid_persistency_type_used_with_mbr,
    disk.luksformat_options_valid,
    container.container_tool_chain_installed,
    container.appx_naming_conventions_valid,
    initrd.initrd_selection_required,
    initrd.boot_description_exists,
    initrd.consistent_kernel_in_boot_and_system_image,
    initrd.dracut_module_for_oem_install_in_package_list,
    initrd.dracut_module_for_disk_oem_in_package_list,
    initrd.dracut_module_for_live_iso_in_package_list,
    initrd.dracut_module_for_disk_overlay_in_package_list,
    machine.xen_uniquely_setup_as_server_or_guest,
    machine.bootloader_env_compatible_with_loader,
    media.mediacheck_installed,
    media.checkmedia_used_with_msdos_table,
    media.efi_fat_image_has_correct_size,
)

CHECKS: Mapping[str, Check] = {item.__name__: item for item in _ALL}
"""All checks, by name."""

NOT_NEEDED: Mapping[str, str] = {
    "dracut_module_versions_compatible_to_kiwi": "kiwinb passes no data to KIWI NG's dracut "
    "modules, so their versions do not matter",
}
"""Checks of KIWI NG that kiwinb does not need, with the reasons."""

ALWAYS = frozenset(
    (
        *("description_supported", "image_type_supported", "image_kind_refuses_nothing"),
        "lists_of_mirrors_supported",
    )
)
"""Checks that settings cannot turn off: without them, kiwinb would make another image."""

PREPARE_ONLY = frozenset(("repositories_configured",))
"""Checks that do not apply to an image that is made from an existing root tree."""


def problems(
    subject: Subject, *, preparing: bool = True, disabled: Collection[str] = ()
) -> tuple[Problem, ...]:
    """Run the checks and return all problems; this function is pure.

    Args:
        subject: The data to check.
        preparing: Whether a root tree is to be prepared, and not only an image made from one.
        disabled: Names of checks to leave out.
    """
    left_out = {*disabled} - ALWAYS
    if not preparing:
        left_out |= PREPARE_ONLY
    return tuple(
        problem.found_by(name)
        for name, run in CHECKS.items()
        if name not in left_out
        for problem in run(subject)
    )


def make_subject(
    document: Document,
    image: ImageDescription,
    settings: Settings,
    target: str | os.PathLike[str] | None = None,
) -> Subject:
    """Collect the data to check.

    Args:
        document: The description.
        image: The effective description.
        settings: The user's settings.
        target: Target directory of the results or the root tree.
    """
    tree = reduced(document, image)
    return Subject(image, document, tree, gather(image, settings, target), _boot_image(image))


def check(
    document: Document,
    image: ImageDescription,
    settings: Settings,
    target: str | os.PathLike[str] | None = None,
    *,
    preparing: bool = True,
) -> None:
    """Run all checks; arguments as for :func:`make_subject` and :func:`problems`.

    Raises:
        KiwinbError: The settings disable a check that does not exist, or one that cannot be
            disabled.
        CheckErrors: The image cannot be built; the error lists all problems.
    """
    for name in settings.disabled_checks:
        if name not in CHECKS:
            near = near_names(name, list(CHECKS))
            raise KiwinbError(
                f"the settings disable the check {name}, which does not exist",
                remedy=f"Did you mean {near[0]}?" if near else f"There are: {', '.join(CHECKS)}.",
            )
        if name in ALWAYS:
            raise KiwinbError(
                f"the settings disable the check {name}, without which kiwinb would make another "
                "image than the description asks for",
                remedy="Remove it from disabled-checks.",
            )
    subject = make_subject(document, image, settings, target)
    found = problems(subject, preparing=preparing, disabled=settings.all_disabled_checks)
    if found:
        raise CheckErrors(found)


def _boot_image(image: ImageDescription) -> ImageDescription | None:
    boot = image.type.attributes.get("boot")
    if not boot or image.type.initrd_system != "kiwi":
        return None
    try:
        return select(read(image.directory / boot), arch=image.arch)
    except DescriptionError:
        return None
