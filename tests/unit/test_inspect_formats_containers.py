"""Container images: layers over one another, whiteouts, several architectures."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from kiwinb.errors import InspectError
from kiwinb.inspect.formats import open_tree
from kiwinb.inspect.formats.container import ContainerTree

FIRST = {
    "etc/": None,
    "etc/motd": b"first",
    "etc/gone": b"x",
    "opt/": None,
    "opt/one": b"1",
    "opt/deep/": None,
    "opt/deep/two": b"2",
    "var/": None,
    "var/kept": b"k",
    "was/": None,
    "was/inside": b"i",
}
SECOND = {
    "etc/motd": b"second",
    "etc/.wh.gone": b"",
    "opt/.wh..wh..opq": b"",
    "opt/new": b"n",
    ".wh.was": b"",
    "was": b"a file now",
}


def layer(files: Mapping[str, bytes | None]) -> bytes:
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.type = tarfile.DIRTYPE if content is None else tarfile.REGTYPE
            info.mode, info.size = 0o755 if content is None else 0o640, len(content or b"")
            archive.addfile(info, io.BytesIO(content or b""))
    return output.getvalue()


def layout(directory: Path, layers: list[bytes], architectures: tuple[str, ...] = ("",)) -> Path:
    blobs = directory / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def put(data: bytes) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"digest": f"sha256:{digest}", "size": len(data)}

    manifests = []
    for architecture in architectures:
        config = {
            "architecture": architecture,
            "config": {"Cmd": ["sh"]},
            "history": [
                {"created_by": "first step"},
                {"created_by": "ENV", "empty_layer": True},
                {"created_by": "second step"},
            ],
        }
        manifest = {"config": put(json.dumps(config).encode()), "layers": [put(d) for d in layers]}
        entry = put(json.dumps(manifest).encode())
        if architecture:
            entry["platform"] = {"architecture": architecture, "os": "linux"}
        manifests.append(entry)
    (directory / "index.json").write_text(json.dumps({"manifests": manifests}))
    (directory / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return directory


def check(tree: object) -> None:
    assert isinstance(tree, ContainerTree)
    with tree:
        paths = tree.scan()["path"].tolist()
        assert paths == ["/", "/etc", "/etc/motd", "/opt", "/opt/new", "/var", "/var/kept", "/was"]
        assert tree.read("/etc/motd") == b"second"
        assert tree.read("/was") == b"a file now"
        assert tree.exists("/opt/new") and not tree.exists("/opt/one")
        assert len(tree.layers) == 2


def test_a_layout_as_a_directory(tmp_path: Path) -> None:
    tree = open_tree(layout(tmp_path / "it", [layer(FIRST), gzip.compress(layer(SECOND))]))
    assert isinstance(tree, ContainerTree)
    assert [item.created_by for item in tree.layers] == ["first step", "second step"]
    assert tree.config["config"]["Cmd"] == ["sh"]
    check(tree)


def test_a_layout_as_an_archive(tmp_path: Path) -> None:
    layout(tmp_path / "it", [gzip.compress(layer(FIRST)), layer(SECOND)])
    with tarfile.open(tmp_path / "it.tar.xz", "w:xz") as archive:
        archive.add(tmp_path / "it", "")
    check(open_tree(tmp_path / "it.tar.xz"))


def test_an_archive_of_docker_save(tmp_path: Path) -> None:
    manifest = [{"Config": "c.json", "RepoTags": None, "Layers": ["a/layer.tar", "b/layer.tar"]}]
    files = {
        "c.json": json.dumps({"architecture": "amd64"}).encode(),
        "a/layer.tar": layer(FIRST),
        "b/layer.tar": layer(SECOND),
        "manifest.json": json.dumps(manifest).encode(),
    }
    (tmp_path / "it").write_bytes(layer(files))
    check(open_tree(tmp_path / "it"))


def test_no_image_for_this_architecture(tmp_path: Path) -> None:
    it = layout(tmp_path / "it", [layer(FIRST)], ("s390x", "riscv64"))
    with open_tree(it) as tree, pytest.raises(InspectError, match="riscv64, s390x"):
        tree.scan()


def test_a_digest_does_not_leave_the_layout(tmp_path: Path) -> None:
    layout(tmp_path / "it", [layer(FIRST)])
    index = {"manifests": [{"digest": "sha256:../../../secret"}]}
    (tmp_path / "it" / "index.json").write_text(json.dumps(index))
    (tmp_path / "secret").write_text("{}")
    with open_tree(tmp_path / "it") as tree, pytest.raises(InspectError, match="not a digest"):
        tree.scan()


def test_a_layer_that_is_missing(tmp_path: Path) -> None:
    it = layout(tmp_path / "it", [layer(FIRST)])
    next(p for p in (it / "blobs" / "sha256").iterdir() if p.read_bytes() == layer(FIRST)).unlink()
    with open_tree(it) as tree, pytest.raises(InspectError, match="is missing"):
        tree.scan()
