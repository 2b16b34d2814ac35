"""Read container images: OCI layouts (directories or archives) and archives of ``docker save``.

Layers are combined as the OCI image specification says, including whiteouts.
"""

from __future__ import annotations

import json
import platform
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from kiwinb.inspect.formats.archive import (
    Entries,
    Member,
    MemberTree,
    Stored,
    apply,
    fill,
    tar_members,
    without,
)
from kiwinb.inspect.formats.indexed import Rows
from kiwinb.inspect.formats.unpack import compression, decompressed
from kiwinb.inspect.formats.window import DamagedError, UnsupportedError, Window, reading

_MOST_JSON = 16 << 20
_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}
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
        return json.loads(window.read(0, window.size))

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
        return {m.path: (m.place, m.facts.target.decode()) for m in tar_members(self._window)}

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
    """

    what = "a container image"

    def __init__(self, files: _Files, name: str) -> None:
        super().__init__(name)
        self._files = files
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
            found = files.find("index.json") or files.find("manifest.json")
        return cls(files, name) if found else None

    # --- metadata ---

    @cached_property
    def _image(self) -> tuple[Mapping[str, Any], Sequence[str]]:
        """Configuration, and names of the files that hold the layers."""
        with reading(self.name, self.what):
            if self._files.find("index.json"):
                return self._oci()
            return self._docker()

    def _oci(self) -> tuple[Mapping[str, Any], Sequence[str]]:
        index = self._files.json("index.json")
        for _level in range(4):
            manifest = _choose(index["manifests"])
            found = self._files.json(_blob(manifest["digest"]))
            if not str(found.get("mediaType", manifest.get("mediaType", ""))).endswith(_INDEXES):
                config = self._files.json(_blob(found["config"]["digest"]))
                return config, [_blob(layer["digest"]) for layer in found["layers"]]
            index = found
        raise DamagedError("its indexes refer to one another")

    def _docker(self) -> tuple[Mapping[str, Any], Sequence[str]]:
        manifest = self._files.json("manifest.json")[0]
        return self._files.json(manifest["Config"]), [str(name) for name in manifest["Layers"]]

    @property
    def config(self) -> Mapping[str, Any]:
        """The configuration, as in the OCI image specification."""
        return self._image[0]

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers, the lowest first."""
        config, names = self._image
        history = [item for item in config.get("history", ()) if not item.get("empty_layer")]
        said = [str(item.get("created_by", "")) for item in history]
        said += [""] * (len(names) - len(said))
        return tuple(
            Layer(name.rpartition("/")[2], window.size if window else 0, made)
            for name, made in zip(names, said, strict=False)
            for window in (self._files.find(name),)
        )

    # --- the tree ---

    def _list(self, rows: Rows) -> None:
        entries: Entries = {}
        for name in self._image[1]:
            window = self._files.find(name)
            if window is None:
                raise DamagedError(f"the layer {name} is missing")
            if compression(window):
                window = decompressed(window, f"the layer {name} of {self.name}")
                self._plain.append(window)
            _put_over(tar_members(window), entries)
        fill(rows, entries)

    def _members(self) -> Iterator[Member]:
        raise NotImplementedError

    def close(self) -> None:
        """Close all files."""
        for window in self._plain:
            window.close()
        self._files.close()


def _put_over(members: Iterator[Member], entries: Entries) -> None:
    """Add a layer to the layers below it; its whiteouts affect only those."""
    own: list[Member] = []
    gone: set[str] = set()
    emptied: set[str] = set()
    for member in members:
        parent, _, name = member.path.rpartition("/")
        if name == _OPAQUE:
            emptied.add(parent)
        elif name.startswith(_WHITEOUT):
            gone.add(f"{parent}/{name.removeprefix(_WHITEOUT)}")
        else:
            own.append(member)
    if "" in emptied:
        entries.clear()
    elif gone or emptied:
        without(entries, gone | emptied, emptied - gone)
    apply(own, entries)


def _blob(digest: str) -> str:
    method, _, value = digest.partition(":")
    if not method.isalnum() or not value.isalnum():
        raise DamagedError(f"{digest!r} is not a digest")
    return f"blobs/{method}/{value}"


def _choose(manifests: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Choose the image for this host's architecture, or else the only one."""
    images = [m for m in manifests if "attestation" not in str(m.get("annotations", {}))]
    if not images:
        raise DamagedError("it holds no image")
    host = _ARCHITECTURES.get(platform.machine(), platform.machine())
    ours = [m for m in images if m.get("platform", {}).get("architecture") == host]
    if ours or len(images) == 1:
        return (ours or images)[0]
    names = sorted({str(m.get("platform", {}).get("architecture", "?")) for m in images})
    if names == ["?"]:
        return images[0]
    raise UnsupportedError(
        f"it has images for {', '.join(names)}, but none for {host}",
        "Extract one of them: skopeo copy --override-arch ARCH",
    )
