"""Select one image of a description: a set of profiles, an architecture and a type.

What KIWI NG says of it: a section without ``profiles`` is part of every image, one that names
profiles is part of an image that selects one of them; what a profile says goes before what the
whole description says. ``arch`` limits a section or an item to architectures. Where the same
thing is said several times, the later one wins.
"""

from __future__ import annotations

import copy
import platform
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from functools import cache
from typing import Any, TypeVar, get_type_hints

from lxml import etree

from kiwinb.description.document import Document, location
from kiwinb.description.model import (
    Archive,
    Bootloader,
    BootloaderSettings,
    BuildType,
    Certificates,
    CollectionModule,
    ConfigOption,
    Container,
    ContainerCommand,
    ContainerConfig,
    ContainerHistory,
    Dracut,
    ImageDescription,
    Information,
    Initrd,
    Machine,
    MachineEntry,
    OemConfig,
    OverlayFile,
    Packages,
    PackageSet,
    Partition,
    Preferences,
    Profile,
    Repository,
    Size,
    Strip,
    SystemDisk,
    User,
    VagrantConfig,
    Volume,
)
from kiwinb.errors import DescriptionError

Element = etree._Element
Tree = etree._ElementTree
T = TypeVar("T")

PHASES = ("bootstrap", "image", "delete", "uninstall", "systemfiles")
"""Values of ``<packages type=…>`` that name a phase; the others name an image type."""


def select(
    document: Document,
    *,
    profiles: Sequence[str] = (),
    type: str | None = None,
    arch: str | None = None,
) -> ImageDescription:
    """The image that a description means under some profiles, for one architecture and type.

    Args:
        document: A valid description.
        profiles: Names of profiles; none means those declared with ``import="true"``.
        type: An ``image`` attribute; ``None`` means the primary type, else the first one.
        arch: As ``uname -m`` prints it; ``None`` means that of this host.

    Raises:
        DescriptionError: There is no such profile or type, or the profiles do not fit together.
    """
    image = document.tree.getroot()
    choice = _choose(image, profiles, type, arch)
    build_type = read_type(choice.type, choice.arch)
    return ImageDescription(
        name=image.get("name", ""),
        displayname=image.get("displayname"),
        id=image.get("id"),
        schemaversion=image.get("schemaversion", "8.5"),
        directory=document.directory,
        file=document.file,
        arch=choice.arch,
        profiles=choice.profiles,
        all_profiles=tuple(_profile(profile) for profile in image.iterfind("profiles/profile")),
        information=_information(image.find("description")),
        preferences=_preferences(choice.ranked(image, "preferences")),
        type=build_type,
        users=_users(choice.ranked(image, "users")),
        repositories=tuple(
            _repository(section, choice.arch) for section in choice.sections(image, "repository")
        ),
        packages=_packages(list(choice.sections(image, "packages")), build_type.image, choice.arch),
        drivers=_unique(
            item.get("name", "")
            for section in choice.sections(image, "drivers")
            for item in choice.items(section, "file")
        ),
        strip=_strip(choice.sections(image, "strip"), choice.arch),
        containers=tuple(
            _container(section, item)
            for section in choice.sections(image, "containers")
            for item in choice.items(section, "container")
        ),
        certificates=tuple(
            Certificates(section.get("target_distribution", ""), _named(section, "certificate"))
            for section in choice.sections(image, "certificates")
        ),
    )


def effective(
    document: Document,
    *,
    profiles: Sequence[str] = (),
    type: str | None = None,
    arch: str | None = None,
) -> Tree:
    """The description with nothing but what the selected image is made of.

    It selects the same image again, with no profiles or type given.

    Args:
        document: A valid description.
        profiles: As for :func:`select`.
        type: As for :func:`select`.
        arch: As for :func:`select`.

    Returns:
        A copy of the tree; the document is left as it is.

    Raises:
        DescriptionError: As for :func:`select`.
    """
    choice = _choose(document.tree.getroot(), profiles, type, arch)
    chosen = choice.type
    path = document.tree.getpath(chosen)
    tree = copy.deepcopy(document.tree)
    image = tree.getroot()
    kept: list[Element] = tree.xpath(path)  # type: ignore[assignment]  # lxml-stubs: XPath may give anything
    for section in list(image.iterchildren("*")):
        if not choice.includes(section) or (
            section.tag == "packages"
            and section.get("type") not in (*PHASES, chosen.get("image", ""))
        ):
            image.remove(section)
        elif (names := _names(section.get("profiles"))) != ():
            section.set("profiles", ",".join(name for name in names if name in choice.profiles))
    for item in list(image.iter("*")):
        if item.getparent() is not None and not arch_matches(item, choice.arch):
            _remove(item)
    for other in image.findall("preferences/type"):
        if other not in kept:
            _remove(other)
    for section in image.findall("profiles"):
        _keep_profiles(section, choice.order)
    etree.indent(tree, "  ")
    return tree


def selected_sections(document: Document, image: ImageDescription, name: str) -> Iterator[Element]:
    """The sections of a name that are part of an image, in document order.

    Args:
        document: The whole description.
        image: What was selected from it.
        name: Of the element, a child of ``<image>``.
    """
    return (
        section
        for section in document.tree.getroot().iterchildren(name)
        if _includes(section, image.profiles, image.arch)
    )


def arch_matches(element: Element, arch: str) -> bool:
    """Whether the element's ``arch`` attribute, where it has one, names the architecture."""
    names = _names(element.get("arch"))
    return not names or arch in names or ("ix86" in names and bool(re.fullmatch("i[3-6]86", arch)))


@dataclass(frozen=True)
class _Choice:
    """What is selected.

    ``profiles`` is in document order; in ``order``, what a profile requires comes before it.
    """

    arch: str
    profiles: tuple[str, ...]
    order: tuple[str, ...]
    type: Element

    def includes(self, section: Element) -> bool:
        return _includes(section, self.profiles, self.arch)

    def sections(self, image: Element, name: str) -> Iterator[Element]:
        """The selected sections of a name, in document order."""
        return (section for section in image.iterchildren(name) if self.includes(section))

    def ranked(self, image: Element, name: str) -> list[Element]:
        """The same, those that go before others later: common ones first, then by profile."""
        return _ranked(self.sections(image, name), self.order)

    def items(self, section: Element, name: str) -> Iterator[Element]:
        return _items(section, name, self.arch)


def _choose(
    image: Element, wanted: Sequence[str], type_name: str | None, arch: str | None
) -> _Choice:
    arch = arch or platform.machine()
    order = _choose_profiles(image, wanted, arch)
    profiles = tuple(name for name in _named(image, "profiles/profile") if name in order)
    sections = _ranked(
        (item for item in image.iterchildren("preferences") if _includes(item, profiles, arch)),
        order,
    )
    return _Choice(arch, profiles, order, _choose_type(image, sections, profiles, type_name, arch))


def _choose_profiles(image: Element, wanted: Sequence[str], arch: str) -> tuple[str, ...]:
    declared = {item.get("name", ""): item for item in image.iterfind("profiles/profile")}
    for name in wanted:
        if name not in declared:
            raise DescriptionError(
                f"there is no profile {name!r}",
                remedy=_did_you_mean(name, declared)
                + (
                    f"The description has these profiles: {', '.join(declared)}."
                    if declared
                    else "The description declares no profiles."
                ),
                location=location(image),
            )
        if not arch_matches(declared[name], arch):
            raise DescriptionError(
                f"profile {name!r} is not for {arch}",
                remedy=f"It is for {declared[name].get('arch')} only.",
                location=location(declared[name]),
            )
    for section in image.iterchildren("*"):
        for name in _names(section.get("profiles")):
            if name not in declared:
                raise DescriptionError(
                    f"there is no profile {name!r}",
                    remedy=_did_you_mean(name, declared) or "Declare it in <profiles>.",
                    location=location(section),
                )
    chosen: dict[str, None] = {}

    def take(name: str, asked_by: tuple[str, ...]) -> None:
        if name in chosen or name in asked_by:
            return
        for required in _items(declared[name], "requires", arch):
            other = required.get("profile", "")
            if other not in declared:
                raise DescriptionError(
                    f"profile {name!r} requires {other!r}, which is not declared",
                    remedy=_did_you_mean(other, declared) or "Declare it, or drop the line.",
                    location=location(required),
                )
            if arch_matches(declared[other], arch):
                take(other, (*asked_by, name))
        chosen[name] = None

    imported = (
        name
        for name, item in declared.items()
        if _boolean(item.get("import")) and arch_matches(item, arch)
    )
    for name in wanted or imported:
        take(name, ())
    return tuple(chosen)


def _choose_type(
    image: Element,
    sections: Sequence[Element],
    profiles: Sequence[str],
    wanted: str | None,
    arch: str,
) -> Element:
    types = [item for section in sections for item in section.iterchildren("type")]
    by_name = {item.get("image", ""): item for item in types}
    if wanted is not None and wanted in by_name:
        return by_name[wanted]
    under = f"under the profiles {', '.join(profiles)}" if profiles else "without profiles"
    if wanted is not None:
        raise DescriptionError(
            f"there is no type {wanted!r} {under}",
            remedy=f"{_did_you_mean(wanted, by_name)}{_types_elsewhere(image, by_name)}",
            location=location(image),
        )
    if not types:
        raise DescriptionError(
            f"there is no type {under}, for {arch}",
            remedy=_types_elsewhere(image, by_name),
            location=location(image),
        )
    primary = [item for item in types if _boolean(item.get("primary"))]
    return primary[-1] if primary else by_name[types[0].get("image", "")]


def _types_elsewhere(image: Element, here: Iterable[str]) -> str:
    """What types there are: here, and in sections that are not selected."""
    names = list(here)
    lines = [f"The types here are: {', '.join(names)}."] if names else []
    for section in image.iterchildren("preferences"):
        others = [item.get("image", "") for item in section.iterchildren("type")]
        limits = [f"{key} {section.get(key)}" for key in ("profiles", "arch") if section.get(key)]
        if limits and (others := [name for name in others if name not in names]):
            lines.append(f"Under {' and '.join(limits)} there is: {', '.join(others)}.")
    return " ".join(lines) or "Add a <type> to <preferences>."


def _did_you_mean(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, list(known), n=1)
    return f"Did you mean {near[0]!r}? " if near else ""


def _includes(section: Element, profiles: Sequence[str], arch: str) -> bool:
    names = _names(section.get("profiles"))
    return arch_matches(section, arch) and (not names or not set(names).isdisjoint(profiles))


def _ranked(sections: Iterable[Element], order: Sequence[str]) -> list[Element]:
    def rank(section: Element) -> int:
        names = _names(section.get("profiles"))
        return max((order.index(name) + 1 for name in names if name in order), default=0)

    return sorted(sections, key=rank)


def _remove(element: Element) -> None:
    parent = element.getparent()
    assert parent is not None
    parent.remove(element)


def _keep_profiles(section: Element, order: Sequence[str]) -> None:
    declared = {item.get("name", ""): item for item in section.iterchildren("profile")}
    for item in declared.values():
        section.remove(item)
    for name in order:
        profile = declared[name]
        profile.set("import", "true")
        for required in list(profile):
            profile.remove(required)
        section.append(profile)
    if not order:
        _remove(section)


# Reading values


def _text(element: Element | None) -> str:
    return (element.text or "").strip() if element is not None else ""


def _names(text: str | None) -> tuple[str, ...]:
    """The items of a comma-separated list."""
    return tuple(item for part in (text or "").split(",") if (item := part.strip()))


def _named(element: Element, path: str, attribute: str = "name") -> tuple[str, ...]:
    return tuple(item.get(attribute, "") for item in element.iterfind(path))


def _items(section: Element, name: str, arch: str) -> Iterator[Element]:
    return (item for item in section.iterchildren(name) if arch_matches(item, arch))


def _unique(values: Iterable[T]) -> tuple[T, ...]:
    return tuple(dict.fromkeys(values))


def _boolean(text: str | None) -> bool:
    return (text or "").strip().lower() in ("true", "1")


_CONVERT: dict[Any, Callable[[str], Any]] = {
    str: str,
    str | None: str,
    int: int,
    int | None: int,
    bool: _boolean,
    bool | None: _boolean,
}


@cache
def _scalars(cls: type) -> dict[str, Callable[[str], Any]]:
    """The fields of a model class that hold one plain value, and what makes it from text."""
    hints = get_type_hints(cls)
    return {
        item.name: _CONVERT[hints[item.name]]
        for item in fields(cls)
        if hints[item.name] in _CONVERT
    }


def _values(cls: type, written: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """What of the written names and texts are plain fields of the class, converted."""
    known = _scalars(cls)
    return {name: known[name](text) for name, text in written if name in known}


def _attributes(cls: type, element: Element) -> dict[str, Any]:
    return _values(cls, ((str(name), str(text)) for name, text in element.attrib.items()))


def convert_attribute(name: str, text: str) -> Any:
    """The value of the field of :class:`BuildType` that an attribute of ``<type>`` is.

    Raises:
        KeyError: The attribute is kept in ``attributes`` only.
        ValueError: The text is not of the field's type.
    """
    if name in _LISTS:
        return _LISTS[name](text)
    converter = _scalars(BuildType)[name]
    if converter is _boolean and text.strip().lower() not in ("true", "false", "1", "0"):
        raise ValueError(text)
    return converter(text)


def _split_words(text: str) -> tuple[str, ...]:
    return tuple(shlex.split(text))


_LISTS: dict[str, Callable[[str], tuple[str, ...]]] = {
    "formatoptions": _names,
    "fscreateoptions": _split_words,
    "fsmountoptions": _names,
    "spare_part_fs_attributes": _names,
}


# Reading sections


def _information(element: Element | None) -> Information:
    if element is None:
        return Information()

    def texts(name: str) -> tuple[str, ...]:
        return tuple(_text(item) for item in element.iterchildren(name))

    return Information(
        kind=element.get("type", "system"),
        author=texts("author"),
        contact=texts("contact"),
        specification=_text(element.find("specification")),
        license=texts("license"),
    )


def _profile(element: Element) -> Profile:
    return Profile(
        name=element.get("name", ""),
        description=element.get("description", ""),
        imported=_boolean(element.get("import")),
        arch=_names(element.get("arch")),
        requires=_named(element, "requires", "profile"),
    )


def _preferences(sections: Sequence[Element]) -> Preferences:
    values: dict[str, Any] = {}
    licenses: list[str] = []
    for section in sections:
        written = [(str(item.tag), _text(item)) for item in section.iterchildren("*")]
        values |= _values(Preferences, ((tag.replace("-", "_"), text) for tag, text in written))
        for tag, text in written:
            if tag == "locale":
                values["locale"] = _names(text)
            elif tag == "showlicense":
                licenses.append(text)
    return Preferences(**values, showlicense=_unique(licenses))


def read_type(element: Element, arch: str) -> BuildType:
    """What a ``<type>`` says, for one architecture."""
    values = _attributes(BuildType, element)
    for name, split in _LISTS.items():
        try:
            values[name] = split(element.get(name, ""))
        except ValueError as error:
            raise DescriptionError(
                f"the value of {name} cannot be split into words: {error}",
                remedy="Close each quote.",
                location=location(element),
            ) from None
    bootloader = element.find("bootloader")
    size = element.find("size")
    disk = element.find("systemdisk")
    container = element.find("containerconfig")
    machine = element.find("machine")
    if bootloader is not None:
        values["bootloader"] = _bootloader(bootloader)
    elif values["image"] in ("iso", "oem"):
        values["bootloader"] = Bootloader()
    return BuildType(
        **values,
        attributes={str(name): str(text) for name, text in element.attrib.items()},
        oemconfig=OemConfig(
            **_values(
                OemConfig,
                (
                    (str(item.tag).removeprefix("oem-").replace("-", "_"), _text(item))
                    for item in element.iterfind("oemconfig/*")
                ),
            )
        ),
        size=_size(size) if size is not None else None,
        systemdisk=SystemDisk(
            **_attributes(SystemDisk, disk),
            volumes=tuple(Volume(**_attributes(Volume, v)) for v in _items(disk, "volume", arch)),
        )
        if disk is not None
        else None,
        partitions=tuple(
            Partition(**_attributes(Partition, item))
            for item in element.iterfind("partitions/partition")
        ),
        containerconfig=_containerconfig(container) if container is not None else None,
        initrd=_initrds(element, "initrd"),
        installmedia=_initrds(element, "installmedia/initrd"),
        luksformat=_options(element, "luksformat/option"),
        machine=_machine(machine) if machine is not None else None,
        vagrantconfig=tuple(
            VagrantConfig(**_attributes(VagrantConfig, item))
            for item in element.iterchildren("vagrantconfig")
        ),
    )


def _options(element: Element, path: str) -> tuple[ConfigOption, ...]:
    return tuple(
        ConfigOption(item.get("name", ""), item.get("value")) for item in element.iterfind(path)
    )


def _bootloader(element: Element) -> Bootloader:
    return Bootloader(
        **_attributes(Bootloader, element),
        settings=BootloaderSettings(
            shimoption=_options(element, "bootloadersettings/shimoption"),
            installoption=_options(element, "bootloadersettings/installoption"),
            configoption=_options(element, "bootloadersettings/configoption"),
            environment=_options(element, "bootloadersettings/environment/env"),
        ),
    )


def _size(element: Element) -> Size:
    return Size(**{**_attributes(Size, element), "value": int(_text(element))})


def _initrds(element: Element, path: str) -> tuple[Initrd, ...]:
    return tuple(
        Initrd(
            item.get("action", ""),
            tuple(Dracut(**_attributes(Dracut, entry)) for entry in item.iterchildren("dracut")),
        )
        for item in element.iterfind(path)
    )


def _machine(element: Element) -> Machine:
    return Machine(
        attributes={str(name): str(text) for name, text in element.attrib.items()},
        config_entries=tuple(_text(item) for item in element.iterchildren("vmconfig-entry")),
        devices=tuple(
            MachineEntry(
                str(item.tag), {str(name): str(text) for name, text in item.attrib.items()}
            )
            for item in element.iterchildren("vmdisk", "vmdvd", "vmnic")
        ),
    )


def _containerconfig(element: Element) -> ContainerConfig:
    history = element.find("history")
    return ContainerConfig(
        **{
            **_attributes(ContainerConfig, element),
            "additionalnames": _names(element.get("additionalnames")),
            "entrypoint": _command(element.find("entrypoint")),
            "subcommand": _command(element.find("subcommand")),
            "labels": _options(element, "labels/label"),
            "expose": _named(element, "expose/port", "number"),
            "environment": _options(element, "environment/env"),
            "volumes": _named(element, "volumes/volume"),
            "stopsignal": _text(element.find("stopsignal")) or None,
            "history": ContainerHistory(
                **{**_attributes(ContainerHistory, history), "comment": _text(history)}
            )
            if history is not None
            else None,
        }
    )


def _command(element: Element | None) -> ContainerCommand | None:
    if element is None:
        return None
    execute = element.get("execute")
    arguments = _named(element, "argument")
    return ContainerCommand(
        argv=(execute, *arguments) if execute else arguments, clear=_boolean(element.get("clear"))
    )


def _users(sections: Iterable[Element]) -> tuple[User, ...]:
    users: dict[str, User] = {}
    for section in sections:
        for item in section.iterchildren("user"):
            user = User(**{**_attributes(User, item), "groups": _names(item.get("groups"))})
            users[user.name] = user
    return tuple(users.values())


def _repository(element: Element, arch: str) -> Repository:
    source = element.find("source")
    assert source is not None, "the schema asks for a <source>"
    only = _boolean(element.get("imageonly"))
    return Repository(
        **{
            **_attributes(Repository, element),
            "path": source.get("path", "").replace("%arch", arch),
            "components": tuple(element.get("components", "").replace(",", " ").split()),
            "architectures": _names(element.get("architectures")),
            "signing": _named(source, "signing", "key"),
            "used_for_build": not only,
            "included_in_image": only or _boolean(element.get("imageinclude")),
        }
    )


def _packages(sections: Sequence[Element], image_type: str, arch: str) -> Packages:
    def of(*types: str) -> list[Element]:
        return [section for section in sections if section.get("type") in types]

    def names(phase: str) -> tuple[str, ...]:
        return _unique(
            item.get("name", "")
            for section in of(phase)
            for item in _items(section, "package", arch)
        )

    bootstrap = of("bootstrap")
    archives = [section.get("bootstrap_package") for section in bootstrap]
    return Packages(
        bootstrap=_package_set(bootstrap, arch),
        image=_package_set(of("image", image_type), arch),
        delete=names("delete"),
        uninstall=names("uninstall"),
        systemfiles=names("systemfiles"),
        bootstrap_package=next((name for name in reversed(archives) if name), None),
    )


def _package_set(sections: Sequence[Element], arch: str) -> PackageSet:
    def items(tag: str) -> Iterator[Element]:
        return (item for section in sections for item in _items(section, tag, arch))

    def names(tag: str) -> tuple[str, ...]:
        return _unique(item.get("name", "") for item in items(tag))

    def objects(cls: type[T], tag: str) -> tuple[T, ...]:
        return _unique(cls(**_attributes(cls, item)) for item in items(tag))

    return PackageSet(
        packages=names("package"),
        collections=names("namedCollection"),
        collection_modules=objects(CollectionModule, "collectionModule"),
        products=names("product"),
        ignore=names("ignore"),
        archives=objects(Archive, "archive"),
        files=objects(OverlayFile, "file"),
        plus_recommended=any(item.get("patternType") == "plusRecommended" for item in sections),
    )


def _strip(sections: Iterable[Element], arch: str) -> Strip:
    names: dict[str, list[str]] = {"delete": [], "tools": [], "libs": []}
    for section in sections:
        names[section.get("type", "")] += [
            item.get("name", "") for item in _items(section, "file", arch)
        ]
    return Strip(**{kind: _unique(found) for kind, found in names.items()})


def _container(section: Element, item: Element) -> Container:
    return Container(
        source=section.get("source", ""),
        backend=section.get("backend", ""),
        **_values(Container, ((str(name), str(text)) for name, text in item.attrib.items())),
    )
