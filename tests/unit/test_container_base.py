"""Base containers: which image of an archive is taken."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from kiwinb.errors import ImageError
from kiwinb.images.container.base import import_base, read_base
from kiwinb.images.container.oci import GZIP_LAYER_TYPE, MANIFEST_TYPE, REFERENCE

INDEX_TYPE = "application/vnd.oci.image.index.v1+json"


class Layout:
    """An OCI image layout in the making."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "blobs/sha256").mkdir(parents=True)

    def blob(self, data: bytes | dict[str, Any], **more: Any) -> dict[str, Any]:
        """Write one, and describe it."""
        content = data if isinstance(data, bytes) else json.dumps(data).encode()
        value = hashlib.sha256(content).hexdigest()
        (self.directory / "blobs/sha256" / value).write_bytes(content)
        return {"digest": f"sha256:{value}", "size": len(content), **more}

    def image(self, arch: str, variant: str = "", **more: Any) -> dict[str, Any]:
        """Write an image for an architecture, and describe it."""
        layer = _layer(arch + variant)
        config = {
            "architecture": arch,
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{_sha256(layer)}"]},
        }
        if variant:
            config["variant"] = variant
        layers = [self.blob(gzip.compress(layer, mtime=0), mediaType=GZIP_LAYER_TYPE)]
        manifest = {"config": self.blob(config), "layers": layers}
        platform = {"os": "linux", "architecture": arch}
        return self.blob(manifest, mediaType=MANIFEST_TYPE, platform=platform, **more)

    def index(self, *manifests: dict[str, Any], **more: Any) -> dict[str, Any]:
        """Write an index of images, and describe it."""
        return self.blob({"manifests": manifests}, mediaType=INDEX_TYPE, **more)

    def write(self, *manifests: dict[str, Any]) -> Path:
        """Write what names the images."""
        (self.directory / "index.json").write_text(json.dumps({"manifests": manifests}))
        return self.directory


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _layer(text: str) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        member = tarfile.TarInfo("etc/machine")
        member.size = len(text)
        archive.addfile(member, io.BytesIO(text.encode()))
    return file.getvalue()


def _import(source: Path, arch: str, out: Path, reference: str | None = None) -> str:
    """The architecture and variant of the image that is taken, by its configuration."""
    out.mkdir()
    import_base(source, reference, arch, out)
    base = read_base(out)
    (layer,) = base.layers
    config = base.config
    said = f"{config['architecture']}{config.get('variant', '')}"
    assert layer.diff_id == _sha256(_layer(said))
    return said


@pytest.mark.parametrize(
    ("arch", "taken"),
    [("x86_64", "amd64"), ("aarch64", "arm64v8"), ("armv7l", "armv7"), ("armv6l", "armv6")],
)
def test_the_image_of_the_architecture_is_taken(arch: str, taken: str, tmp_path: Path) -> None:
    layout = Layout(tmp_path / "layout")
    attestation = layout.blob(
        {"config": {}, "layers": []}, platform={"os": "unknown", "architecture": "unknown"}
    )
    images = [
        layout.image("amd64"),
        layout.image("arm", "v6"),
        layout.image("arm", "v7"),
        layout.image("arm64", "v8"),
    ]
    named = {"annotations": {REFERENCE: "debian:one"}}
    nested = layout.write(layout.index(attestation, *images, **named))
    assert _import(nested, arch, tmp_path / "nested") == taken
    assert _import(nested, arch, tmp_path / "named", "one") == taken
    assert _import(layout.write(*images), arch, tmp_path / "flat") == taken


def test_a_variant_may_be_left_out(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "layout")
    assert _import(layout.write(layout.image("arm64")), "aarch64", tmp_path / "out") == "arm64"


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "layout")
    source = layout.write(layout.image("amd64"), layout.image("s390x"))
    with pytest.raises(ImageError, match="no image for the architecture arm64") as caught:
        _import(source, "aarch64", tmp_path / "out")
    assert "only for: amd64, s390x" in str(caught.value)
    assert "--override-arch arm64" in str(caught.value)


def test_so_it_is_in_archives_of_docker(tmp_path: Path) -> None:
    source = tmp_path / "saved"
    source.mkdir()
    layer = _layer("amd64")
    (source / "layer.tar").write_bytes(layer)
    config = {"architecture": "amd64", "rootfs": {"diff_ids": [f"sha256:{_sha256(layer)}"]}}
    (source / "config.json").write_text(json.dumps(config))
    image = {"Config": "config.json", "RepoTags": ["debian:one"], "Layers": ["layer.tar"]}
    (source / "manifest.json").write_text(json.dumps([image]))
    assert _import(source, "x86_64", tmp_path / "out", "debian:one") == "amd64"
    with pytest.raises(ImageError, match="only for: amd64"):
        _import(source, "aarch64", tmp_path / "other")
    with pytest.raises(ImageError, match="has no image two") as caught:
        _import(source, "x86_64", tmp_path / "none", "two")
    assert "debian:one" in str(caught.value)
