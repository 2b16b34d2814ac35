"""Container images: layers over one another, whiteouts, several architectures."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import lzma
import os
import platform
import shutil
import subprocess
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


def docker_archive(file: Path, **tags: list[str] | None) -> Path:
    """An archive of several images, each with a file that tells which one it is."""
    manifest = []
    files: dict[str, bytes] = {}
    for name, names in tags.items():
        content = layer({name: b"x"})
        digests = [f"sha256:{hashlib.sha256(content).hexdigest()}"]
        facts = {"architecture": "amd64", "os": "linux", "config": {"Cmd": [name]}}
        config = json.dumps(facts | {"rootfs": {"type": "layers", "diff_ids": digests}})
        place = f"{hashlib.sha256(config.encode()).hexdigest()}.json"
        manifest.append({"Config": place, "RepoTags": names, "Layers": [f"{name}/layer.tar"]})
        files |= {place: config.encode(), f"{name}/layer.tar": content}
    file.write_bytes(layer({**files, "manifest.json": json.dumps(manifest).encode()}))
    return file


def several(directory: Path, *images: tuple[str, str, str]) -> Path:
    """An OCI layout of images with a name, an architecture, and a file that tells which it is."""
    manifests = []
    for number, (name, architecture, inside) in enumerate(images):
        one = layout(directory / f"{number}", [layer({inside: b"x"})], (architecture,))
        (entry,) = json.loads((one / "index.json").read_text())["manifests"]
        entry["mediaType"] = "application/vnd.oci.image.manifest.v1+json"
        if name:
            entry["annotations"] = {"org.opencontainers.image.ref.name": name}
        manifests.append(entry)
        shutil.copytree(one / "blobs", directory / "all/blobs", dirs_exist_ok=True)
    (directory / "all/index.json").write_text(
        json.dumps({"schemaVersion": 2, "manifests": manifests})
    )
    (directory / "all/oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return directory / "all"


def paths(source: Path | str) -> list[str]:
    with open_tree(source) as tree:
        return [path for path in tree.scan()["path"] if path != "/"]


def test_two_images_of_docker_save_are_a_choice(tmp_path: Path) -> None:
    file = docker_archive(tmp_path / "it", one=["one:1", "one:latest"], two=["x/two:2"], three=None)
    with open_tree(file) as tree, pytest.raises(InspectError, match="several images") as caught:
        tree.scan()
    named = str(caught.value.remedy)
    assert f"{file}#one:1" in named and f"{file}#x/two:2" in named
    assert paths(f"{file}#one:1") == paths(f"{file}#one:latest") == ["/one"]
    assert paths(f"{file}#x/two:2") == ["/two"]
    choices = named.removeprefix("Choose one: ").split(", ")
    assert sorted(path for choice in choices for path in paths(choice)) == [
        "/one",
        "/three",
        "/two",
    ]
    with pytest.raises(InspectError, match="no image 'four'") as caught:
        open_tree(f"{file}#four")
    assert f"{file}#one:1" in str(caught.value.remedy)
    (tmp_path / "it.xz").write_bytes(lzma.compress(file.read_bytes()))
    assert paths(f"{tmp_path / 'it.xz'}#one:1") == ["/one"]


@pytest.mark.needs("skopeo")
def test_skopeo_chooses_the_same(tmp_path: Path) -> None:
    file = docker_archive(tmp_path / "it", one=["one:1"], two=["two:2"])
    both = several(tmp_path / "oci", ("one", "amd64", "one"), ("two", "amd64", "two"))
    for name in ("one:1", "two:2"):
        argv = ["skopeo", "inspect", "--config", f"docker-archive:{file}:{name}"]
        said = json.loads(subprocess.run(argv, capture_output=True, check=True).stdout)
        with open_tree(f"{file}#{name}") as tree:
            assert isinstance(tree, ContainerTree)
            assert tree.config["config"] == said["config"]
    for name in ("one", "two"):
        argv = ["skopeo", "inspect", "--raw", f"oci:{both}:{name}"]
        said = json.loads(subprocess.run(argv, capture_output=True, check=True).stdout)
        with open_tree(f"{both}#{name}") as tree:
            assert isinstance(tree, ContainerTree)
            digests = [f"sha256:{item.digest}" for item in tree.layers]
        assert digests == [item["digest"] for item in said["layers"]]


@pytest.mark.parametrize("names", [("a", "b"), ("a", ""), ("", "")])
@pytest.mark.parametrize("architectures", [("amd64", "amd64"), ("amd64", "arm64"), ("", "")])
def test_two_images_of_a_layout(
    names: tuple[str, str],
    architectures: tuple[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only several architectures of one image are not a choice that the user has to make."""
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    it = several(tmp_path, *zip(names, architectures, ("one", "two"), strict=True))
    if names == ("", "") and architectures == ("amd64", "arm64"):
        assert paths(it) == ["/one"]
        assert paths(f"{it}#arm64") == ["/two"]
        return
    with open_tree(it) as tree, pytest.raises(InspectError, match="several images") as caught:
        tree.scan()
    choices = str(caught.value.remedy).removeprefix("Choose one: ").split(", ")
    assert sorted(path for choice in choices for path in paths(choice)) == ["/one", "/two"]
    for name, inside in zip(names, ("/one", "/two"), strict=True):
        assert not name or paths(f"{it}#{name}") == [inside]


def test_a_named_image_of_several_architectures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    images = (("a", "arm64", "one"), ("a", "amd64", "two"), ("b", "amd64", "three"))
    it = several(tmp_path, *images)
    assert paths(f"{it}#a") == ["/two"]
    assert paths(f"{it}#b") == ["/three"]


def test_two_names_of_one_image_are_no_choice(tmp_path: Path) -> None:
    it = several(tmp_path, ("a", "amd64", "one"), ("b", "amd64", "one"))
    assert paths(it) == paths(f"{it}#a") == paths(f"{it}#b") == ["/one"]


@pytest.mark.parametrize(
    "files",
    [
        {"manifest.json": b'{"name": "a web application"}'},
        {"manifest.json": b"[]"},
        {"manifest.json": b'[{"Config": "not there", "Layers": []}]'},
        {"manifest.json": b"[1, 2]"},
        {"manifest.json": b"no JSON"},
        {"manifest.json": b"\xff\xfe"},
        {"index.json": b'{"manifests": []}'},
        {"index.json": b"[]", "oci-layout": b"{}"},
        {"index.json": b"{}", "oci-layout": b"{}", "manifest.json": b"{}"},
        {"manifest.json/": None, "index.json/": None, "oci-layout/": None},
    ],
)
def test_a_plain_tar_with_such_names(files: Mapping[str, bytes | None], tmp_path: Path) -> None:
    (tmp_path / "it").write_bytes(layer({**files, "etc/motd": b"plain"}))
    expected = sorted({f"/{name.rstrip('/')}" for name in files} | {"/etc", "/etc/motd"})
    assert paths(tmp_path / "it") == expected


def test_a_plain_tar_with_a_link_to_bytes(tmp_path: Path) -> None:
    """They are no UTF-8; when kiwinb looked for a container image, it took that for damage."""
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/link").symlink_to(os.fsdecode(b"\xff\xfe"))
    subprocess.run(["tar", "-C", tmp_path / "tree", "-cf", tmp_path / "it", "."], check=True)
    assert paths(tmp_path / "it") == ["/link"]
