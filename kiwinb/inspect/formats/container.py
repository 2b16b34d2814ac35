"""Read container images: OCI layouts (directories or archives) and archives of ``docker save``.

Layers are combined as the OCI image specification says, including whiteouts.
"""

from __future__ import annotations

import platform
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from kiwinb.inspect.formats.archive import MemberTree, tar_members
from kiwinb.inspect.formats.indexed import Rows
from kiwinb.inspect.formats.indexed import text as decoded
from kiwinb.inspect.formats.members import Member, Stored, Unpacked
from kiwinb.inspect.formats.unpack import compression, decompressed
from kiwinb.inspect.formats.window import DamagedError, UnsupportedError, Window, reading
from kiwinb.shapes import mapping, sequence, text, texts
from kiwinb.typed_json import WrongData, parsed

_MOST_JSON = 16 << 20
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}
_NAMES = ("io.containerd.image.name", "org.opencontainers.image.ref.name")
_SHORTEST = 12
"""Digits of a digest that are enough to choose an image."""

_INDEXES = ("index.v1+json", "manifest.list.v2+json")


@dataclass(frozen=True)
class Layer:
    """A layer of a container image.

    Attributes:
        digest: Name of its file in the image, which is a digest in OCI layouts.
        size: Size in the image in bytes, compressed or not.
        created_by: The command that made it, or an empty string.
    """

    digest: str
    size: int
    created_by: str = ""


class _Files(ABC):
    """The files of an image, by name."""

    @abstractmethod
    def find(self, name: str) -> Window | None:
        """Return a file; ``None`` if it does not exist."""

    def json(self, name: str) -> Any:
        """Read a JSON file."""
        window = self.find(name)
        if window is None:
            raise DamagedError(f"{name} is missing")
        if window.size > _MOST_JSON:
            raise DamagedError(f"{name} is too large")
        try:
            return parsed(window.read(0, window.size))
        except WrongData as error:
            raise DamagedError(f"{name} is damaged: {error}") from error

    def close(self) -> None:
        """Close all files."""
        return


class _InDirectory(_Files):
    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._open: dict[str, Window] = {}

    def find(self, name: str) -> Window | None:
        path = self._directory / name
        inside = path.resolve().is_relative_to(self._directory.resolve())
        if not inside or not path.is_file():
            return None
        if name not in self._open:
            self._open[name] = Window.of(path)
        return self._open[name]

    def close(self) -> None:
        for window in self._open.values():
            window.close()


class _InArchive(_Files):
    def __init__(self, window: Window) -> None:
        self._window = window

    @cached_property
    def _members(self) -> Mapping[str, tuple[Stored | None, str]]:
        return {m.path: (m.place, decoded(m.facts.target)) for m in tar_members(self._window)}

    def find(self, name: str) -> Window | None:
        place, target = self._members.get(f"/{name}", (None, ""))
        if target:  # in older archives, a layer may be a link to an equal one
            parts = [part for part in target.split("/") if part not in ("", ".", "..")]
            place, _ = self._members.get("/" + "/".join(parts), (None, ""))
        if place is None or len(place.runs) != 1:
            return None
        _start, at, size = place.runs[0]
        return self._window.part(at, size)

    def close(self) -> None:
        self._window.close()


class ContainerTree(MemberTree):
    """A container image.

    Args:
        files: Its files.
        name: Name in messages.
        wanted: Name, digest or architecture of the image to show; by default, it is the only one.
    """

    what = "a container image"

    def __init__(self, files: _Files, name: str, wanted: str = "") -> None:
        super().__init__(name)
        self._files = files
        self._wanted = wanted
        self._plain: list[Window] = []

    @classmethod
    def of_directory(cls, path: Path) -> ContainerTree:
        """Open an OCI layout."""
        return cls(_InDirectory(path), str(path))

    @staticmethod
    def probe_directory(path: Path) -> bool:
        """Tell whether a directory is an OCI layout."""
        return (path / "oci-layout").is_file() and (path / "index.json").is_file()

    @classmethod
    def of_archive(cls, window: Window, name: str) -> ContainerTree | None:
        """Open an archive; return ``None`` if it is not one of a container image."""
        files = _InArchive(window)
        with reading(name, "a tar archive"):
            found = _is_layout(files) or _is_docker(files)
        return cls(files, name) if found else None

    def chosen(self, name: str) -> ContainerTree:
        """Return one of several images.

        Args:
            name: Its name, the beginning of its digest, or its architecture.

        Raises:
            InspectError: There is no such image, or there are several.
        """
        tree = ContainerTree(self._files, f"{self.name}#{name}", name)
        _ = tree._image
        return tree

    # --- metadata ---

    @cached_property
    def _image(self) -> tuple[Mapping[str, Any], Sequence[str]]:
        """Configuration, and names of the files that hold the layers."""
        with reading(self.name, self.what):
            if _is_layout(self._files):
                return self._oci()
            return self._docker()

    def _oci(self) -> tuple[Mapping[str, Any], Sequence[str]]:
        index = self._files.json("index.json")
        wanted = self._wanted
        for _level in range(4):
            choices = [
                _oci_choice(mapping(item, "an item of manifests"))
                for item in sequence(index["manifests"], "manifests")
            ]
            if wanted and not any(choice.is_called(wanted) for choice in choices):
                chosen = self._choose(choices, "") if len(choices) == 1 else None
            else:
                chosen, wanted = self._choose(choices, wanted), ""
            if chosen is None:
                raise self._no_choice(choices)
            found = mapping(self._files.json(_blob(chosen.digest)), chosen.digest)
            kind = str(found.get("mediaType", chosen.manifest.get("mediaType", "")))
            if not kind.endswith(_INDEXES):
                if wanted:
                    raise self._no_choice(choices)
                config = self._config(_blob(_digest(found["config"])))
                return config, [
                    _blob(_digest(item)) for item in sequence(found["layers"], "layers")
                ]
            index = found
        raise DamagedError("its indexes refer to one another")

    def _docker(self) -> tuple[Mapping[str, Any], Sequence[str]]:
        choices = [_docker_choice(item) for item in self._files.json("manifest.json")]
        if self._wanted and not any(choice.is_called(self._wanted) for choice in choices):
            raise self._no_choice(choices)
        manifest = self._choose(choices, self._wanted).manifest
        return self._config(manifest["Config"]), texts(manifest["Layers"], "Layers")

    def _config(self, name: str) -> Mapping[str, Any]:
        config = mapping(self._files.json(name), "its configuration")
        for item in sequence(config.get("history"), "history"):
            mapping(item, "an item of history")
        return config

    def _choose(self, choices: Sequence[_Choice], wanted: str) -> _Choice:
        """Return the image that is wanted, or else the only one for this host's architecture.

        Raises:
            UnsupportedError: There are several, or none is for this host.
        """
        images = [c for c in choices if c.is_image and (not wanted or c.is_called(wanted))]
        if not images:
            raise DamagedError("it holds no image")
        host = _ARCHITECTURES.get(platform.machine(), platform.machine())
        names = {choice.names for choice in images}
        if len(names) == 1:
            images = [c for c in images if c.architecture == host] or images
        if len({choice.digest for choice in images}) == 1:
            return images[0]
        architectures = sorted({c.architecture or "?" for c in images})
        if len(names) == 1 and len(architectures) == len(images):
            raise UnsupportedError(
                f"it has images for {', '.join(architectures)}, but none for {host}",
                f"Choose one: {self._listed(images)}",
            )
        raise UnsupportedError("it holds several images", f"Choose one: {self._listed(images)}")

    def _no_choice(self, choices: Sequence[_Choice]) -> UnsupportedError:
        images = [choice for choice in choices if choice.is_image]
        return UnsupportedError(
            f"it holds no image {self._wanted!r}", f"Choose one: {self._listed(images)}"
        )

    def _listed(self, images: Sequence[_Choice]) -> str:
        whole = self.name.removesuffix(f"#{self._wanted}") if self._wanted else self.name
        return ", ".join(sorted({f"{whole}#{image.label(images)}" for image in images}))

    @property
    def config(self) -> Mapping[str, Any]:
        """The configuration, as in the OCI image specification."""
        return self._image[0]

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers, the lowest first."""
        config, names = self._image
        history = [item for item in config.get("history") or () if not item.get("empty_layer")]
        said = [str(item.get("created_by", "")) for item in history]
        said += [""] * (len(names) - len(said))
        return tuple(
            Layer(name.rpartition("/")[2], window.size if window else 0, made)
            for name, made in zip(names, said, strict=False)
            for window in (self._files.find(name),)
        )

    # --- the tree ---

    def _list(self, rows: Rows) -> None:
        combined = Unpacked()
        for name in self._image[1]:
            window = self._files.find(name)
            if window is None:
                raise DamagedError(f"the layer {name} is missing")
            if compression(window):
                window = decompressed(window, f"the layer {name} of {self.name}")
                self._plain.append(window)
            combined.lay_over(tar_members(window))
        combined.fill(rows)

    def _members(self) -> Iterator[Member]:
        raise NotImplementedError

    def close(self) -> None:
        """Close all files."""
        for window in self._plain:
            window.close()
        self._files.close()


def _blob(digest: str) -> str:
    method, _, value = digest.partition(":")
    if not method.isalnum() or not value.isalnum():
        raise DamagedError(f"{digest!r} is not a digest")
    return f"blobs/{method}/{value}"


@dataclass(frozen=True)
class _Choice:
    """One of the images in a file."""

    names: tuple[str, ...]
    digest: str
    architecture: str
    manifest: Mapping[str, Any]
    is_image: bool = True

    @property
    def _hexadecimal(self) -> str:
        return self.digest.rpartition(":")[2].rpartition("/")[2].removesuffix(".json")

    def is_called(self, wanted: str) -> bool:
        begins = len(wanted) >= _SHORTEST and self._hexadecimal.startswith(
            wanted.removeprefix("sha256:")
        )
        return wanted in (*self.names, self.architecture) or begins

    def label(self, others: Sequence[_Choice]) -> str:
        """Return a name that only this image has among others."""
        for name in (*self.names, self.architecture):
            if name and all(o.digest == self.digest or not o.is_called(name) for o in others):
                return name
        return self._hexadecimal[:_SHORTEST]


def _oci_choice(manifest: Mapping[str, Any]) -> _Choice:
    notes = mapping(manifest.get("annotations"), "annotations")
    names = tuple(text(notes[key], key) for key in _NAMES if notes.get(key))
    platform = mapping(manifest.get("platform"), "platform")
    architecture = text(platform.get("architecture"), "architecture")
    is_image = "attestation" not in str(notes)
    return _Choice(names, _digest(manifest), architecture, manifest, is_image)


def _digest(descriptor: Any) -> str:
    return text(mapping(descriptor, "a descriptor")["digest"], "digest")


def _docker_choice(manifest: Mapping[str, Any]) -> _Choice:
    names = texts(manifest.get("RepoTags"), "RepoTags")
    return _Choice(names, str(manifest["Config"]), "", manifest)


def _is_layout(files: _Files) -> bool:
    """Tell whether the files are an OCI layout, not a tree that happens to hold such names."""
    if files.find("oci-layout") is None:
        return False
    index = _json_if_any(files, "index.json")
    return isinstance(index, dict) and isinstance(index.get("manifests"), list)


def _is_docker(files: _Files) -> bool:
    """Tell whether the files are those of ``docker save``."""
    found = _json_if_any(files, "manifest.json")
    return (
        isinstance(found, list)
        and bool(found)
        and all(
            isinstance(item, dict)
            and isinstance(item.get("Layers"), list)
            and isinstance(item.get("Config"), str)
            and files.find(item["Config"]) is not None
            for item in found
        )
    )


def _json_if_any(files: _Files, name: str) -> Any:
    """Read a JSON file; ``None`` if it does not exist, or is not JSON."""
    try:
        return files.json(name)
    except (DamagedError, ValueError):
        return None
