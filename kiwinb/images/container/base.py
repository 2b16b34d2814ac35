"""Import and unpack base containers, which ``derived_from`` names.

A base container is a local OCI image layout (a directory or an archive) or an archive of
``docker save``. Archives may be compressed.
"""

from __future__ import annotations

import hashlib
import json
import os
import posixpath
import shutil
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote, urlsplit

from kiwinb.errors import ImageError, RepositoryError
from kiwinb.images.container.config import PLATFORMS, check_config
from kiwinb.images.container.layers import apply_layer
from kiwinb.images.container.oci import (
    GZIP_LAYER_TYPE,
    LAYER_TYPE,
    REFERENCE,
    ZSTD_LAYER_TYPE,
    Layer,
    to_json,
)
from kiwinb.images.tarball import CHUNK
from kiwinb.sandbox.decompress import BROKEN_STREAM, compression_of, open_unpacked
from kiwinb.sandbox.holes import unpack_file
from kiwinb.shapes import mapping, sequence, text, texts
from kiwinb.tar_entries import opened_tar, tar_entries
from kiwinb.typed_json import WrongData, parsed

BASE_CONTAINER = "base-container"
"""Name of the ``files`` step that holds the base container."""

_CONFIG = "config.json"
_LAYERS = "layers.json"
_MOST_JSON = 16 << 20
_MOST_INDEXES = 4
_LAYER_TYPES = {"": LAYER_TYPE, "gzip": GZIP_LAYER_TYPE, "zstd": ZSTD_LAYER_TYPE}


@dataclass(frozen=True)
class BaseContainer:
    """A base container.

    Attributes:
        config: Its image configuration.
        layers: Its layers, lowest first.
    """

    config: Mapping[str, Any]
    layers: tuple[Layer, ...]


def local_archive(derived_from: str, directory: Path) -> tuple[Path, str | None]:
    """Return the path that a ``derived_from`` names, and the reference after its ``#``.

    Args:
        derived_from: ``file:///path#reference``, ``dir:///path``, ``this://path``, or a path.
            ``this://`` and relative paths start at the description directory.
        directory: The description directory.

    Raises:
        RepositoryError: The base container is not a local file, or does not exist.
    """
    url = urlsplit(derived_from)
    if url.scheme not in ("", "file", "dir", "this"):
        raise RepositoryError(
            f"the base container {derived_from} is not a local file",
            remedy="Fetch it (skopeo copy docker://IMAGE oci-archive:base.tar) and set"
            ' derived_from="file:///…/base.tar".',
        )
    name = unquote(url.path)
    path = directory / (name.lstrip("/") if url.scheme == "this" else name)
    if not path.is_file() and not path.is_dir():
        what = "is not a file or directory" if os.path.lexists(path) else "is not there"
        raise RepositoryError(f"the base container {path} {what}")
    return path, unquote(url.fragment) or None


def import_base(source: Path, reference: str | None, arch: str, out: Path) -> None:
    """Convert a base container to the form that :func:`read_base` reads.

    Args:
        source: The archive, or the directory of an OCI image layout.
        reference: Tag or ``name:tag`` of the image, if the source holds several images.
        arch: Architecture of the image, as ``uname -m`` prints it.
        out: Empty directory to write to.

    Raises:
        ImageError: The source is not a container image, is damaged, or has no such image for the
            architecture.
    """
    try:
        _import(source, reference, arch, out)
    except WrongData as error:
        raise ImageError(f"{source} is not a container image: {error}") from error
    except OSError as error:
        said = error.strerror or error
        raise ImageError(f"{source} cannot be read as a container image: {said}") from error


def _import(source: Path, reference: str | None, arch: str, out: Path) -> None:
    scratch = out / "archive"
    if source.is_dir():
        aliases: dict[str, str] = {}
        directory = source
    else:
        scratch.mkdir()
        directory = scratch
        aliases = _extract(source, scratch)
    try:
        config, layers = _Archive(source, directory, aliases).read_image(reference, arch)
        check_config(config)
        named = []
        diff_ids = texts(_member(config, "rootfs", "diff_ids", source=source), "diff_ids")
        if len(diff_ids) != len(layers):
            raise ImageError(f"{source}: the configuration is for another number of layers")
        for number, (layer, diff_id) in enumerate(zip(layers, diff_ids, strict=True)):
            target = out / f"{number:03}.layer"
            if directory is scratch and layers.count(layer) == 1:
                layer.rename(target)
            else:
                shutil.copyfile(layer, target)
            named.append(_checked(target, diff_id.removeprefix("sha256:"), source))
        (out / _CONFIG).write_bytes(to_json(config))
        (out / _LAYERS).write_bytes(to_json(named))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def read_base(directory: Path) -> BaseContainer:
    """Read a base container that :func:`import_base` wrote."""
    config = json.loads((directory / _CONFIG).read_bytes())
    layers = json.loads((directory / _LAYERS).read_bytes())
    return BaseContainer(
        config,
        tuple(
            Layer(directory / item["file"], item["type"], item["digest"], item["diff_id"])
            for item in layers
        ),
    )


def unpack_base(base: BaseContainer, root: Path, progress: Callable[[float], None]) -> None:
    """Unpack all layers of a base container into an empty tree.

    Raises:
        ImageError: A layer is damaged.
    """
    for number, layer in enumerate(base.layers, 1):
        with open_unpacked(layer.path) as stream:
            apply_layer(stream, root)
        progress(number / len(base.layers))


def _sha256(stream: BinaryIO) -> str:
    sha256 = hashlib.sha256()
    while data := stream.read(CHUNK):
        sha256.update(data)
    return sha256.hexdigest()


def _checked(path: Path, diff_id: str, source: Path) -> dict[str, str]:
    """Check a layer against its digest; decompress it if image layouts do not know the format."""
    try:
        with open_unpacked(path) as stream:
            found = _sha256(stream)
    except BROKEN_STREAM as error:
        raise ImageError(f"{source}: a layer is damaged: {error}") from error
    if found != diff_id:
        raise ImageError(f"{source}: a layer is damaged: its SHA-256 is {found}, not {diff_id}")
    kind = compression_of(path)
    if kind not in _LAYER_TYPES:
        plain = path.with_suffix(".tar")
        with open_unpacked(path) as stream, plain.open("wb") as file:
            shutil.copyfileobj(stream, file, CHUNK)
        plain.replace(path)
        kind = ""
    with path.open("rb") as file:
        digest = _sha256(file)
    return {"file": path.name, "type": _LAYER_TYPES[kind], "digest": digest, "diff_id": diff_id}


def _extract(source: Path, directory: Path) -> dict[str, str]:
    """Extract the files of an archive; return the targets of its links, by name."""
    aliases = {}
    try:
        with open_unpacked(source) as stream, opened_tar(stream) as archive:
            for member in tar_entries(archive):
                name = _normal(member.name)
                if member.issym():
                    aliases[name] = _normal(
                        posixpath.join(posixpath.dirname(name), member.linkname)
                    )
                elif member.islnk():
                    aliases[name] = _normal(member.linkname)
                elif member.isfile():
                    target = directory / name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.unlink(missing_ok=True)
                    unpack_file(archive, member, target)
    except (tarfile.TarError, ValueError, *BROKEN_STREAM) as error:
        raise ImageError(f"{source} is not an archive of a container image: {error}") from error
    return aliases


def _normal(name: str) -> str:
    return posixpath.normpath("/" + name).lstrip("/")


@dataclass(frozen=True)
class _Archive:
    """An archive of container images, extracted.

    Attributes:
        source: The file that it was extracted from, for messages.
        directory: The directory that holds its files.
        aliases: Targets of its links, by name.
    """

    source: Path
    directory: Path
    aliases: Mapping[str, str]

    def read_image(self, reference: str | None, arch: str) -> tuple[dict[str, Any], list[Path]]:
        """Return the configuration of an image, and the files of its layers.

        Raises:
            ImageError: The archive is damaged, or has no such image for the architecture.
        """
        found = []
        for config, layers in self._images(reference):
            if _is_for(config, arch):
                return config, [self._layer(layer) for layer in layers]
            found.append(str(config.get("architecture")))
        wanted, _variant = PLATFORMS.get(arch, (arch, ""))
        raise ImageError(
            f"{self.source} has no image for the architecture {wanted}, only for: "
            f"{', '.join(dict.fromkeys(found)) or 'none'}",
            remedy=f"Fetch it for that architecture (skopeo --override-arch {wanted} copy "
            "docker://IMAGE oci-archive:base.tar), or build for another --target-arch.",
        )

    def _images(self, reference: str | None) -> Iterator[tuple[dict[str, Any], list[Any]]]:
        """Yield the configuration and layers of each image with a reference, or of all images."""
        if (self.directory / "index.json").is_file():
            items = self._items(self._load(self._file("index.json")), "manifests")
            notes = [mapping(item.get("annotations"), "annotations") for item in items]
            names = [text(note.get(REFERENCE), REFERENCE) for note in notes]
            for item in self._named(items, names, reference):
                for manifest in self._manifests(item):
                    config = self._load(self._blob(self._member(manifest, "config")))
                    yield config, self._layers(self._member(manifest, "layers"))
            return
        found = sequence(self._load(self._file("manifest.json"), list), "manifest.json")
        items = [mapping(item, "an item of manifest.json") for item in found]
        names = [",".join(texts(item.get("RepoTags"), "RepoTags")) for item in items]
        for item in self._named(items, names, reference):
            config = self._load(self._file(text(self._member(item, "Config"), "Config")))
            yield config, self._layers(self._member(item, "Layers"))

    def _items(self, value: Any, name: str) -> list[Mapping[str, Any]]:
        return [mapping(item, f"an item of {name}") for item in sequence(value.get(name), name)]

    def _layers(self, value: Any) -> list[Any]:
        return [
            layer if isinstance(layer, str) else dict(mapping(layer, "a layer"))
            for layer in sequence(value, "layers")
        ]

    def _manifests(self, descriptor: Any, depth: int = 0) -> Iterator[Any]:
        """Yield the manifests of a descriptor: one, or all in an index of platforms."""
        manifest = self._load(self._blob(descriptor))
        if "manifests" not in manifest:
            yield manifest
            return
        if depth == _MOST_INDEXES:
            raise ImageError(f"{self.source} is not a container image: its indexes are nested")
        for item in self._items(manifest, "manifests"):
            platform = mapping(item.get("platform"), "platform")
            if platform.get("os") != "unknown":  # an attestation, not an image
                yield from self._manifests(item, depth + 1)

    def _named(
        self, items: list[Mapping[str, Any]], names: list[str], reference: str | None
    ) -> list[Mapping[str, Any]]:
        """Return the items with a reference; all items if it is ``None``."""
        found = [
            item
            for item, said in zip(items, names, strict=True)
            if reference is None
            or any(reference in (name, name.rpartition(":")[2]) for name in said.split(","))
        ]
        if not found:
            raise ImageError(
                f"{self.source} has no image {reference or ''}".rstrip(),
                remedy=f"It has: {', '.join(filter(None, names)) or 'none with a name'}.",
            )
        return found

    def _layer(self, layer: Any) -> Path:
        return self._file(text(layer, "a layer")) if isinstance(layer, str) else self._blob(layer)

    def _file(self, name: str) -> Path:
        path = self.directory / self.aliases.get(_normal(name), _normal(name))
        if not path.is_file():
            raise ImageError(f"{self.source} is not a container image: it has no {name}")
        if not path.resolve().is_relative_to(self.directory.resolve()):
            raise ImageError(f"{self.source} is not a container image: {name} leads out of it")
        return path

    def _blob(self, descriptor: Any) -> Path:
        kind, _, value = text(self._member(descriptor, "digest"), "digest").partition(":")
        path = self._file(f"blobs/{kind}/{value}")
        with path.open("rb") as content:
            if kind != "sha256" or _sha256(content) != value:
                raise ImageError(f"{self.source}: {path.name} is damaged")
        return path

    def _load(self, path: Path, kind: type = dict) -> Any:
        if path.stat().st_size > _MOST_JSON:
            raise ImageError(f"{self.source}: {path.name} is too large")
        try:
            found = parsed(path.read_bytes())
        except WrongData as error:
            raise ImageError(f"{self.source}: {path.name} is damaged: {error}") from error
        if not isinstance(found, kind):
            raise ImageError(f"{self.source} is not a container image: {path.name} is wrong")
        return found

    def _member(self, value: Any, name: str) -> Any:
        return _member(value, name, source=self.source)


def _is_for(config: Mapping[str, Any], arch: str) -> bool:
    """Tell whether an image is for an architecture, and for its variant if both name one."""
    wanted, variant = PLATFORMS.get(arch, (arch, ""))
    given = config.get("variant") or variant
    return (config.get("architecture"), given) == (wanted, variant or given)


def _member(value: Any, *names: str, source: Path) -> Any:
    for name in names:
        if not isinstance(value, dict) or name not in value:
            raise ImageError(f"{source} is not a container image: {name} is missing in it")
        value = value[name]
    return value
