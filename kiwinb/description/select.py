"""Select one build from a description: its profiles, its architecture and its type."""

from __future__ import annotations

import platform
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Any, TypeVar

from lxml import etree

from kiwinb.description import model
from kiwinb.description.document import Document, location
from kiwinb.description.xml import children
from kiwinb.errors import DescriptionError, Location

Element = etree._Element
T = TypeVar("T")

_PHASES = ("image", "bootstrap", "delete", "uninstall", "systemfiles")


def select(
    document: Document,
    *,
    profiles: Sequence[str] = (),
    type: str | None = None,
    arch: str | None = None,
) -> model.ImageDescription:
    """The description as one build sees it.

    Args:
        document: A valid description.
        profiles: Profiles to select; those marked ``import="true"`` when empty. Those that a
            selected profile requires are selected, too.
        type: The ``image`` attribute of the type to build; the ``primary`` one, else the first,
            when ``None``.
        arch: Target architecture as ``uname -m`` prints it; the host's when ``None``.

    Raises:
        DescriptionError: A profile or the type is not there, or a section names a profile that
            is not.
    """
    reader = _Reader(document, arch or platform.machine())
    return reader.image(profiles, type)


@dataclass(frozen=True)
class _Reader:
    document: Document
    arch: str

    @property
    def root(self) -> Element:
        root: Element = self.document.tree.getroot()
        return root

    # --- what applies ---

    def image(self, profiles: Sequence[str], wanted: str | None) -> model.ImageDescription:
        known = tuple(self._profiles())
        selected = self._selection(known, profiles)
        sections = [
            section for section in self._here(self.root) if self._applies(section, known, selected)
        ]
        preferences = [section for section in sections if section.tag == "preferences"]
        types = [item for section in preferences for item in self._here(section, "type")]
        chosen = self._type(types, wanted)
        by_tag = {name: [s for s in sections if s.tag == name] for name in _SECTIONS}
        return model.ImageDescription(
            name=self.root.get("name", ""),
            directory=self.document.directory,
            file=self.document.file,
            arch=self.arch,
            type=self._build_type(chosen),
            preferences=self._preferences(preferences),
            displayname=self.root.get("displayname"),
            id=self.root.get("id"),
            schemaversion=self.root.get("schemaversion", ""),
            profiles=selected,
            all_profiles=known,
            information=self._information(),
            users=tuple(
                self._user(user) for s in by_tag["users"] for user in self._here(s, "user")
            ),
            repositories=tuple(self._repository(s) for s in by_tag["repository"]),
            packages=self._packages(by_tag["packages"], chosen.get("image", "")),
            drivers=_names(self._here(s, "file") for s in by_tag["drivers"]),
            strip=model.Strip(
                **{
                    kind: _names(
                        self._here(s, "file") for s in by_tag["strip"] if s.get("type") == kind
                    )
                    for kind in ("delete", "tools", "libs")
                }
            ),
            containers=tuple(
                _fill(
                    model.Container,
                    item,
                    source=section.get("source"),
                    backend=section.get("backend"),
                )
                for section in by_tag["containers"]
                for item in self._here(section, "container")
            ),
            certificates=tuple(
                model.Certificates(
                    section.get("target_distribution", ""),
                    _names([self._here(section, "certificate")]),
                )
                for section in by_tag["certificates"]
            ),
        )

    def _here(self, parent: Element, name: str | None = None) -> Iterator[Element]:
        """Child elements of that name that are for this architecture."""
        for child in children(parent):
            arch = child.get("arch")
            if (name is None or child.tag == name) and (not arch or self.arch in _listed(arch)):
                yield child

    def _profiles(self) -> Iterator[model.Profile]:
        for section in self.root.iterfind("profiles"):
            for item in section.iterfind("profile"):
                yield model.Profile(
                    name=item.get("name", ""),
                    description=item.get("description", ""),
                    imported=item.get("import") == "true",
                    arch=_listed(item.get("arch")),
                    requires=tuple(r.get("profile", "") for r in self._here(item, "requires")),
                )

    def _selection(self, known: Sequence[model.Profile], wanted: Sequence[str]) -> tuple[str, ...]:
        by_name = {profile.name: profile for profile in known}
        pending = list(wanted) or [profile.name for profile in known if profile.imported]
        selected: set[str] = set()
        while pending:
            name = pending.pop()
            if name not in by_name:
                raise _unknown("profile", name, by_name, location(self.root))
            if name not in selected:
                selected.add(name)
                pending += by_name[name].requires
        return tuple(name for name in by_name if name in selected)

    def _applies(
        self, section: Element, known: Sequence[model.Profile], selected: Sequence[str]
    ) -> bool:
        names = _listed(section.get("profiles"))
        for name in names:
            if all(profile.name != name for profile in known):
                raise _unknown("profile", name, [p.name for p in known], location(section))
        return not names or any(name in selected for name in names)

    def _type(self, types: Sequence[Element], wanted: str | None) -> Element:
        if not types:
            raise DescriptionError(
                "no <type> is left for these profiles and this architecture",
                remedy="Select a profile that has a <preferences> section with a <type>.",
                location=location(self.root),
            )
        if wanted is None:
            return next((item for item in types if item.get("primary") == "true"), types[0])
        for item in types:
            if item.get("image") == wanted:
                return item
        kinds = [item.get("image", "") for item in types]
        raise _unknown("type", wanted, kinds, location(self.root))

    # --- what it says ---

    def _information(self) -> model.Information:
        for section in self.root.iterfind("description"):
            return model.Information(
                kind=section.get("type", "system"),
                author=_texts(section, "author"),
                contact=_texts(section, "contact"),
                specification=" ".join(_texts(section, "specification")),
                license=_texts(section, "license"),
            )
        return model.Information()

    def _preferences(self, sections: Sequence[Element]) -> model.Preferences:
        said: dict[str, str] = {}
        licenses: list[str] = []
        for child in (child for section in sections for child in self._here(section)):
            text = (child.text or "").strip()
            if child.tag == "showlicense":
                licenses.append(text)
            elif child.tag != "type":
                said[child.tag.replace("-", "_")] = child.get("name") or text
        locale = tuple(part.strip() for part in said.pop("locale", "").split(",") if part.strip())
        flags = {
            name: said.pop(name) == "true"
            for name in ("rpm_check_signatures", "rpm_excludedocs", "rpm_locale_filtering")
            if name in said
        }
        return model.Preferences(locale=locale, showlicense=tuple(licenses), **flags, **said)  # type: ignore[arg-type]

    def _user(self, user: Element) -> model.User:
        return _fill(model.User, user, groups=_listed(user.get("groups")))

    def _repository(self, item: Element) -> model.Repository:
        source = item.find("source")
        assert source is not None, "the schema asks for one"
        only = item.get("imageonly") == "true"
        return _fill(
            model.Repository,
            item,
            path=source.get("path"),
            components=tuple((item.get("components") or "").split()),
            architectures=_listed(item.get("architectures")),
            signing=tuple(key.get("key", "") for key in source.iterfind("signing")),
            used_for_build=not only,
            included_in_image=only or item.get("imageinclude") == "true",
        )

    def _packages(self, sections: Sequence[Element], image: str) -> model.Packages:
        def of(*phases: str) -> list[Element]:
            return [section for section in sections if section.get("type") in phases]

        def names(phase: str) -> tuple[str, ...]:
            return _names(self._here(section, "package") for section in of(phase))

        bootstrap = of("bootstrap")
        return model.Packages(
            bootstrap=self._package_set(bootstrap),
            image=self._package_set(of("image", *({image} - {*_PHASES}))),
            delete=names("delete"),
            uninstall=names("uninstall"),
            systemfiles=names("systemfiles"),
            bootstrap_package=next(
                filter(None, (s.get("bootstrap_package") for s in bootstrap)), None
            ),
        )

    def _package_set(self, sections: Sequence[Element]) -> model.PackageSet:
        def each(name: str) -> list[Element]:
            return [item for section in sections for item in self._here(section, name)]

        return model.PackageSet(
            packages=_names([each("package")]),
            collections=_names([each("namedCollection")]),
            collection_modules=_once(
                _fill(model.CollectionModule, i) for i in each("collectionModule")
            ),
            products=_names([each("product")]),
            ignore=_names([each("ignore")]),
            archives=_once(_fill(model.Archive, item) for item in each("archive")),
            files=_once(_fill(model.OverlayFile, item) for item in each("file")),
            plus_recommended=any(s.get("patternType") == "plusRecommended" for s in sections),
        )

    def _build_type(self, item: Element) -> model.BuildType:
        disk = self._one(item, "systemdisk")
        size = self._one(item, "size")
        return _fill(
            model.BuildType,
            item,
            formatoptions=_words(item, "formatoptions"),
            fscreateoptions=_words(item, "fscreateoptions"),
            fsmountoptions=_listed(item.get("fsmountoptions")),
            spare_part_fs_attributes=_listed(item.get("spare_part_fs_attributes")),
            attributes={str(name): str(value) for name, value in item.items()},
            bootloader=self._bootloader(item),
            oemconfig=self._oemconfig(item),
            size=None
            if size is None
            else _fill(model.Size, size, value=int((size.text or "0").strip())),
            systemdisk=None
            if disk is None
            else _fill(
                model.SystemDisk,
                disk,
                volumes=tuple(_fill(model.Volume, v) for v in self._here(disk, "volume")),
            ),
            partitions=tuple(
                _fill(model.Partition, part)
                for group in self._here(item, "partitions")
                for part in self._here(group, "partition")
            ),
            containerconfig=self._container(item),
            initrd=self._initrds(item),
            installmedia=tuple(
                initrd
                for media in self._here(item, "installmedia")
                for initrd in self._initrds(media)
            ),
            luksformat=tuple(
                _fill(model.ConfigOption, option)
                for section in self._here(item, "luksformat")
                for option in self._here(section, "option")
            ),
            machine=self._machine(item),
            vagrantconfig=tuple(
                _fill(model.VagrantConfig, box) for box in self._here(item, "vagrantconfig")
            ),
        )

    def _one(self, parent: Element, name: str) -> Element | None:
        return next(self._here(parent, name), None)

    def _bootloader(self, item: Element) -> model.Bootloader | None:
        loader = self._one(item, "bootloader")
        if loader is None:
            return None
        options: dict[str, list[model.ConfigOption]] = {}
        for section in self._here(loader, "bootloadersettings"):
            for child in self._here(section):
                found = self._here(child, "env") if child.tag == "environment" else [child]
                options.setdefault(child.tag, []).extend(
                    _fill(model.ConfigOption, option) for option in found
                )
        settings = model.BootloaderSettings(**{k: tuple(v) for k, v in options.items()})
        return _fill(model.Bootloader, loader, settings=settings)

    def _oemconfig(self, item: Element) -> model.OemConfig:
        said = {
            child.tag.removeprefix("oem-").replace("-", "_"): (child.text or "").strip()
            for section in self._here(item, "oemconfig")
            for child in self._here(section)
        }
        return _convert(model.OemConfig, said)

    def _container(self, item: Element) -> model.ContainerConfig | None:
        config = self._one(item, "containerconfig")
        if config is None:
            return None

        def command(name: str) -> model.ContainerCommand | None:
            found = self._one(config, name)
            if found is None:
                return None
            arguments = (a.get("name", "") for a in self._here(found, "argument"))
            argv = tuple(filter(None, (found.get("execute"), *arguments)))
            return model.ContainerCommand(argv, found.get("clear") == "true")

        def options(section: str, name: str) -> tuple[model.ConfigOption, ...]:
            return tuple(
                _fill(model.ConfigOption, option)
                for group in self._here(config, section)
                for option in self._here(group, name)
            )

        def values(section: str, name: str, attribute: str) -> tuple[str, ...]:
            return tuple(
                child.get(attribute, "")
                for group in self._here(config, section)
                for child in self._here(group, name)
            )

        history = self._one(config, "history")
        stop = self._one(config, "stopsignal")
        return _fill(
            model.ContainerConfig,
            config,
            additionalnames=_listed(config.get("additionalnames")),
            entrypoint=command("entrypoint"),
            subcommand=command("subcommand"),
            labels=options("labels", "label"),
            expose=values("expose", "port", "number"),
            environment=options("environment", "env"),
            volumes=values("volumes", "volume", "name"),
            stopsignal=None if stop is None else (stop.text or "").strip(),
            history=None
            if history is None
            else _fill(model.ContainerHistory, history, comment=(history.text or "").strip()),
        )

    def _initrds(self, parent: Element) -> tuple[model.Initrd, ...]:
        return tuple(
            model.Initrd(
                item.get("action", ""),
                tuple(_fill(model.Dracut, child) for child in self._here(item, "dracut")),
            )
            for item in self._here(parent, "initrd")
        )

    def _machine(self, item: Element) -> model.Machine | None:
        machine = self._one(item, "machine")
        if machine is None:
            return None
        return model.Machine(
            attributes={str(k): str(v) for k, v in machine.items()},
            config_entries=_texts(machine, "vmconfig-entry"),
            devices=tuple(
                model.MachineEntry(child.tag, {str(k): str(v) for k, v in child.items()})
                for child in self._here(machine)
                if child.tag != "vmconfig-entry"
            ),
        )


_SECTIONS = (
    "users",
    "repository",
    "packages",
    "drivers",
    "strip",
    "containers",
    "certificates",
)


def _fill(kind: type[T], element: Element, **given: Any) -> T:
    """A dataclass from an element's attributes, and what is given of its fields."""
    attributes = {str(name): str(value) for name, value in element.items()}
    return _convert(kind, {k: v for k, v in attributes.items() if k not in given}, **given)


def _convert(kind: type[T], said: dict[str, str], **given: Any) -> T:
    """A dataclass from texts by field name; each text becomes what the field's type is."""
    values: dict[str, Any] = dict(given)
    for item in fields(kind):  # type: ignore[arg-type]
        text = said.get(item.name)
        if text is None or item.name in given:
            continue
        declared = str(item.type)
        if declared.startswith("bool"):
            values[item.name] = text == "true"
        elif declared.startswith("int"):
            values[item.name] = int(text)
        elif declared.startswith("str"):
            values[item.name] = text
    return kind(**values)


def _names(groups: Iterable[Iterable[Element]]) -> tuple[str, ...]:
    return _once(item.get("name", "") for group in groups for item in group)


def _once(items: Iterable[T]) -> tuple[T, ...]:
    return tuple(dict.fromkeys(items))


def _texts(parent: Element, name: str) -> tuple[str, ...]:
    return tuple((child.text or "").strip() for child in parent.iterfind(name))


def _listed(text: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


def _words(element: Element, name: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(element.get(name, "")))
    except ValueError as error:
        raise DescriptionError(
            f"the value of '{name}' cannot be split into words: {error}",
            remedy="Close each quote.",
            location=location(element),
        ) from None


def _unknown(what: str, name: str, known: Iterable[str], where: Location) -> DescriptionError:
    names = sorted({*known})
    near = get_close_matches(name, names, 1)
    hint = f"Did you mean '{near[0]}'? " if near else ""
    have = f"The description has: {', '.join(names)}." if names else "The description has none."
    return DescriptionError(f"no {what} '{name}'", remedy=hint + have, location=where)
