"""Read the sections of a description into the model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from lxml import etree

from kiwinb.description.document import location
from kiwinb.description.model import (
    Archive,
    Bootloader,
    BootloaderSettings,
    BuildType,
    CollectionModule,
    ConfigOption,
    Container,
    ContainerCommand,
    ContainerConfig,
    ContainerHistory,
    Dracut,
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
from kiwinb.description.schema.rules import default_manager, image_has, manager_package
from kiwinb.description.values import (
    LISTS,
    attribute_values,
    boolean,
    items_for,
    names_of,
    plain_values,
    split_names,
    text_of,
    unique,
)
from kiwinb.errors import DescriptionError

Element = etree._Element
T = TypeVar("T")


def read_information(element: Element | None) -> Information:
    """``<description>``, or the defaults if there is none."""
    if element is None:
        return Information()

    def texts(name: str) -> tuple[str, ...]:
        return tuple(text_of(item) for item in element.iterchildren(name))

    return Information(
        kind=element.get("type", "system"),
        author=texts("author"),
        contact=texts("contact"),
        specification=text_of(element.find("specification")),
        license=texts("license"),
    )


def read_profile(element: Element) -> Profile:
    """A ``<profile>``."""
    return Profile(
        name=element.get("name", ""),
        description=element.get("description", ""),
        imported=boolean(element.get("import")),
        arch=split_names(element.get("arch")),
        requires=names_of(element, "requires", "profile"),
    )


_LAST_COUNTS = ("keytable", "timezone", "bootsplash_theme", "bootloader_theme")


def read_preferences(sections: Iterable[Element]) -> Preferences:
    """Merge the ``<preferences>``.

    As in KIWI NG, the last section that has a locale, a keytable, a time zone or a theme decides,
    and the first one that has any other value. The package manager has a default.
    """
    values: dict[str, Any] = {}
    licenses: list[str] = []
    for section in sections:
        written = [(str(item.tag), text_of(item)) for item in section.iterchildren("*")]
        plain = plain_values(Preferences, ((tag.replace("-", "_"), text) for tag, text in written))
        last = {name: value for name, value in plain.items() if name in _LAST_COUNTS}
        values = {**plain, **values, **last}
        for tag, text in written:
            if tag == "locale":
                values["locale"] = split_names(text)
            elif tag == "showlicense":
                licenses.append(text)
    values.setdefault("packagemanager", default_manager())
    return Preferences(**values, showlicense=unique(licenses))


def read_type(element: Element, arch: str) -> BuildType:
    """A ``<type>``, for one architecture."""
    values = attribute_values(BuildType, element)
    for name, split in LISTS.items():
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
    elif image_has(values["image"]) == "bootloader":
        values["bootloader"] = Bootloader()
    return BuildType(
        **values,
        attributes={str(name): str(text) for name, text in element.attrib.items()},
        oemconfig=OemConfig(
            **plain_values(
                OemConfig,
                (
                    (str(item.tag).removeprefix("oem-").replace("-", "_"), text_of(item))
                    for item in element.iterfind("oemconfig/*")
                ),
            )
        ),
        size=_size(size) if size is not None else None,
        systemdisk=SystemDisk(
            **attribute_values(SystemDisk, disk),
            volumes=tuple(
                Volume(**attribute_values(Volume, v)) for v in items_for(disk, "volume", arch)
            ),
        )
        if disk is not None
        else None,
        partitions=tuple(
            Partition(**attribute_values(Partition, item))
            for item in element.iterfind("partitions/partition")
        ),
        containerconfig=_containerconfig(container) if container is not None else None,
        initrd=_initrds(element, "initrd"),
        installmedia=_initrds(element, "installmedia/initrd"),
        luksformat=_options(element, "luksformat/option"),
        machine=_machine(machine) if machine is not None else None,
        vagrantconfig=tuple(
            VagrantConfig(**attribute_values(VagrantConfig, item))
            for item in element.iterchildren("vagrantconfig")
        ),
    )


def _options(element: Element, path: str) -> tuple[ConfigOption, ...]:
    return tuple(
        ConfigOption(item.get("name", ""), item.get("value")) for item in element.iterfind(path)
    )


def _bootloader(element: Element) -> Bootloader:
    return Bootloader(
        **attribute_values(Bootloader, element),
        settings=BootloaderSettings(
            shimoption=_options(element, "bootloadersettings/shimoption"),
            installoption=_options(element, "bootloadersettings/installoption"),
            configoption=_options(element, "bootloadersettings/configoption"),
            environment=_options(element, "bootloadersettings/environment/env"),
        ),
    )


def _size(element: Element) -> Size:
    return Size(**{**attribute_values(Size, element), "value": int(text_of(element))})


def _initrds(element: Element, path: str) -> tuple[Initrd, ...]:
    return tuple(
        Initrd(
            item.get("action", ""),
            tuple(
                Dracut(**attribute_values(Dracut, entry)) for entry in item.iterchildren("dracut")
            ),
        )
        for item in element.iterfind(path)
    )


def _machine(element: Element) -> Machine:
    return Machine(
        attributes={str(name): str(text) for name, text in element.attrib.items()},
        config_entries=tuple(text_of(item) for item in element.iterchildren("vmconfig-entry")),
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
            **attribute_values(ContainerConfig, element),
            "additionalnames": split_names(element.get("additionalnames")),
            "entrypoint": _command(element.find("entrypoint")),
            "subcommand": _command(element.find("subcommand")),
            "labels": _options(element, "labels/label"),
            "expose": names_of(element, "expose/port", "number"),
            "environment": _options(element, "environment/env"),
            "volumes": names_of(element, "volumes/volume"),
            "stopsignal": text_of(element.find("stopsignal")) or None,
            "history": ContainerHistory(
                **{**attribute_values(ContainerHistory, history), "comment": text_of(history)}
            )
            if history is not None
            else None,
        }
    )


def _command(element: Element | None) -> ContainerCommand | None:
    if element is None:
        return None
    execute = element.get("execute")
    arguments = names_of(element, "argument")
    return ContainerCommand(
        argv=(execute, *arguments) if execute else arguments, clear=boolean(element.get("clear"))
    )


def read_users(sections: Iterable[Element]) -> tuple[User, ...]:
    """The users of all sections; the first one of a name decides, and all add groups."""
    users: dict[str, User] = {}
    for section in sections:
        for item in section.iterchildren("user"):
            groups = split_names(item.get("groups"))
            user = User(**{**attribute_values(User, item), "groups": groups})
            first = users.get(user.name, user)
            users[user.name] = replace(first, groups=unique((*first.groups, *groups)))
    return tuple(users.values())


def read_repository(element: Element, arch: str) -> Repository:
    """A ``<repository>``, for one architecture."""
    source = element.find("source")
    assert source is not None, "the schema asks for a <source>"
    only = boolean(element.get("imageonly"))
    return Repository(
        **{
            **attribute_values(Repository, element),
            "path": source.get("path", "").replace("%arch", arch),
            "components": tuple(element.get("components", "").replace(",", " ").split()),
            "architectures": split_names(element.get("architectures")),
            "signing": names_of(source, "signing", "key"),
            "used_for_build": not only,
            "included_in_image": only or boolean(element.get("imageinclude")),
        }
    )


def read_packages(
    sections: Sequence[Element], image_type: str, arch: str, manager: str | None
) -> Packages:
    """Merge the ``<packages>`` of all phases, for one type and architecture.

    If packages are to be installed into a bootstrapped tree, the package of the package manager
    belongs to the bootstrap phase, so that scripts find it.

    Args:
        sections: The ``<packages>`` sections.
        image_type: Name of the image type.
        arch: Architecture, as ``uname -m`` prints it.
        manager: Name of the package manager.
    """

    def of(*types: str) -> list[Element]:
        return [section for section in sections if section.get("type") in types]

    def names(phase: str) -> tuple[str, ...]:
        return unique(
            item.get("name", "").strip()
            for section in of(phase)
            for item in items_for(section, "package", arch)
        )

    typed = of("bootstrap", image_type)
    archives = [section.get("bootstrap_package") for section in typed]
    bootstrap = replace(
        _package_set(of("bootstrap"), arch), plus_recommended=_plus_recommended(typed)
    )
    image = _package_set(of("image", image_type), arch)
    own = manager_package(manager)
    if own and bootstrap.packages and image.packages:
        bootstrap = replace(bootstrap, packages=unique((*bootstrap.packages, own)))
    return Packages(
        bootstrap=bootstrap,
        image=image,
        delete=names("delete"),
        uninstall=names("uninstall"),
        systemfiles=names("systemfiles"),
        bootstrap_package=next(filter(None, archives), None),
    )


def _plus_recommended(sections: Iterable[Element]) -> bool:
    """Whether to install recommended packages; the first section that says so or not decides."""
    said = (item.get("patternType") for item in sections)
    return next(filter(None, said), None) == "plusRecommended"


def _package_set(sections: Sequence[Element], arch: str) -> PackageSet:
    def items(tag: str) -> Iterator[Element]:
        return (item for section in sections for item in items_for(section, tag, arch))

    def names(tag: str) -> tuple[str, ...]:
        return unique(item.get("name", "").strip() for item in items(tag))

    def objects(cls: type[T], tag: str) -> tuple[T, ...]:
        return unique(cls(**attribute_values(cls, item)) for item in items(tag))

    return PackageSet(
        packages=names("package"),
        collections=names("namedCollection"),
        collection_modules=objects(CollectionModule, "collectionModule"),
        products=names("product"),
        ignore=names("ignore"),
        archives=objects(Archive, "archive"),
        files=objects(OverlayFile, "file"),
        plus_recommended=_plus_recommended(sections),
    )


def read_strip(sections: Iterable[Element], arch: str) -> Strip:
    """Merge the ``<strip>`` sections."""
    names: dict[str, list[str]] = {"delete": [], "tools": [], "libs": []}
    for section in sections:
        names[section.get("type", "")] += [
            item.get("name", "") for item in items_for(section, "file", arch)
        ]
    return Strip(**{kind: unique(found) for kind, found in names.items()})


def read_container(section: Element, item: Element) -> Container:
    """A ``<container>`` of a ``<containers>`` section."""
    return Container(
        source=section.get("source", ""),
        backend=section.get("backend", ""),
        **plain_values(Container, ((str(name), str(text)) for name, text in item.attrib.items())),
    )
