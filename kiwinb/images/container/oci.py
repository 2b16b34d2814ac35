"""Container images as files: OCI image layouts and ``docker load`` archives.

Sources of the formats: the OCI Image Format Specification 1.0 (image-layout, manifest, config,
layer) and the Docker Image Specification v1.2 (the combined image JSON and file system archive).
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kiwinb.images.tarball import Sink, TarWriter

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
GZIP_LAYER_TYPE = f"{LAYER_TYPE}+gzip"
ZSTD_LAYER_TYPE = f"{LAYER_TYPE}+zstd"
REFERENCE = "org.opencontainers.image.ref.name"

_LEVEL = 6  # level 9 takes twice as long, and saves less than 1 %


@dataclass(frozen=True)
class Layer:
    """A layer of an image.

    Attributes:
        path: The file that holds it.
        media_type: Media type of the file, which says how it is compressed.
        digest: SHA-256 of the file, in hexadecimal.
        diff_id: SHA-256 of the uncompressed tar archive, in hexadecimal.
    """

    path: Path
    media_type: str
    digest: str
    diff_id: str


class _Hashed:
    """A stream that hashes bytes and passes them on."""

    def __init__(self, sink: Sink) -> None:
        self.sha256 = hashlib.sha256()
        self._sink = sink

    def write(self, data: bytes | memoryview) -> int:
        self.sha256.update(data)
        self._sink.write(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Do nothing: no bytes are buffered."""


@contextmanager
def layer_writer(path: Path, *, compress: bool) -> Iterator[tuple[Sink, list[Layer]]]:
    """Write a layer; when the context ends, the layer is in the list.

    Args:
        path: The file to write.
        compress: Whether to compress it with gzip.
    """
    made: list[Layer] = []
    with path.open("wb") as file:
        packed = _Hashed(file)
        if compress:
            with gzip.GzipFile("", "wb", _LEVEL, packed, mtime=0) as stream:
                plain = _Hashed(stream)
                yield plain, made
        else:
            plain = packed
            yield plain, made
    kind = GZIP_LAYER_TYPE if compress else LAYER_TYPE
    made.append(Layer(path, kind, packed.sha256.hexdigest(), plain.sha256.hexdigest()))


def to_json(value: object) -> bytes:
    """Format a value as JSON; equal values give equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def write_oci_archive(
    archive: TarWriter,
    config: Mapping[str, Any],
    layers: Sequence[Layer],
    references: Sequence[str],
) -> None:
    """Write an OCI image layout with one image as a tar archive.

    Args:
        archive: The archive.
        config: The image configuration; its ``rootfs`` names the layers.
        layers: The layers, lowest first.
        references: Names of the image, each as ``name:tag``.
    """
    config_text = to_json(config)
    manifest = to_json(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": _descriptor(CONFIG_TYPE, config_text),
            "layers": [
                {
                    "mediaType": layer.media_type,
                    "digest": f"sha256:{layer.digest}",
                    "size": layer.path.stat().st_size,
                }
                for layer in layers
            ],
        }
    )
    index = {
        "schemaVersion": 2,
        "manifests": [
            {**_descriptor(MANIFEST_TYPE, manifest), "annotations": {REFERENCE: name}}
            for name in references
        ],
    }
    blobs: dict[str, Path | bytes] = {layer.digest: layer.path for layer in layers}
    blobs |= {hashlib.sha256(text).hexdigest(): text for text in (config_text, manifest)}
    archive.add_file("oci-layout", to_json({"imageLayoutVersion": "1.0.0"}))
    archive.add_file("index.json", to_json(index))
    archive.add_directory("blobs")
    archive.add_directory("blobs/sha256")
    for digest, content in sorted(blobs.items()):
        archive.add_file(f"blobs/sha256/{digest}", content)


def write_docker_archive(
    archive: TarWriter,
    config: Mapping[str, Any],
    layers: Sequence[Layer],
    references: Sequence[str],
) -> None:
    """Write an archive that ``docker load`` reads.

    Args:
        archive: The archive.
        config: The image configuration; its ``rootfs`` names the layers.
        layers: The layers, lowest first, uncompressed.
        references: Names of the image, each as ``name:tag``.
    """
    text = to_json(config)
    config_name = f"{hashlib.sha256(text).hexdigest()}.json"
    names: list[str] = []
    parent = ""
    for layer in layers:
        name = hashlib.sha256(f"{parent} {layer.diff_id}".encode()).hexdigest()
        history = {"id": name, "created": config["created"], "os": config["os"]}
        if parent:
            history["parent"] = parent
        archive.add_directory(name)
        archive.add_file(f"{name}/VERSION", b"1.0")
        archive.add_file(f"{name}/json", to_json(history))
        archive.add_file(f"{name}/layer.tar", layer.path)
        names.append(name)
        parent = name
    repositories: dict[str, dict[str, str]] = {}
    for reference in references:
        repository, _, tag = reference.rpartition(":")
        repositories.setdefault(repository, {})[tag] = parent
    manifest = {
        "Config": config_name,
        "RepoTags": list(references),
        "Layers": [f"{name}/layer.tar" for name in names],
    }
    archive.add_file(config_name, text)
    archive.add_file("manifest.json", to_json([manifest]))
    archive.add_file("repositories", to_json(repositories))


def _descriptor(media_type: str, content: bytes) -> dict[str, object]:
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    return {"mediaType": media_type, "digest": digest, "size": len(content)}
