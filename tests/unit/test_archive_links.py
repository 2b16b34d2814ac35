"""Archives and layers whose entries lead through links: as GNU tar and umoci unpack them."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from kiwinb.errors import DescriptionError, ImageError, InspectError, KiwinbError
from kiwinb.images.container.layers import apply_layer
from kiwinb.inspect.formats import open_tree
from kiwinb.inspect.tree import Tree
from kiwinb.prepare.lay_over import lay_archive, lay_directory

pytestmark = pytest.mark.account("root")


class Item(NamedTuple):
    """A member: a directory, or a file, or a link."""

    name: str
    kind: bytes
    target: str = ""


DIRECTORY, FILE, LINK, HARD = tarfile.DIRTYPE, tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE

NAMES = ("a", "b", "l", "a/b", "a/c", "b/a", "l/x", "l/a", "a/b/c", "l/x/c", "a/l/x", "a/l")
TARGETS = (
    *("a", "b", "a/b", "../a", "../b", ".", "..", "../../..", "l", "nowhere", "nowhere/in"),
    *(
        "/a",
        "/b/a",
        "/",
        "/../../b",
        "/l",
    ),
)
_NAMES = st.sampled_from(NAMES)
ITEMS = st.one_of(
    st.builds(Item, _NAMES, st.just(DIRECTORY)),
    st.builds(Item, _NAMES, st.just(FILE)),
    st.builds(Item, _NAMES, st.just(LINK), st.sampled_from(TARGETS)),
    st.builds(Item, _NAMES, st.just(HARD), _NAMES),
)
BEGIN = st.sampled_from(
    (
        (),
        (Item("a", DIRECTORY), Item("l", LINK, "a")),
        (Item("a/b", DIRECTORY), Item("l", LINK, "/a/b"), Item("a/l", LINK, "../../../b")),
        (Item("b", DIRECTORY), Item("a", LINK, "b"), Item("l", LINK, "a")),
    )
)
ARCHIVES = st.builds(lambda begin, items: (*begin, *items), BEGIN, st.lists(ITEMS, max_size=6))

WHITEOUTS = st.sampled_from(
    (".wh.a", ".wh.l", "a/.wh.b", "l/.wh.x", "l/.wh.a", "a/.wh..wh..opq", "l/.wh..wh..opq")
)
LAYERS = st.lists(
    st.lists(st.one_of(ITEMS, st.builds(Item, WHITEOUTS, st.just(FILE))), max_size=5).map(tuple),
    min_size=1,
    max_size=3,
)

MERGED = (
    Item("usr", DIRECTORY),
    Item("usr/lib", DIRECTORY),
    Item("lib", LINK, "usr/lib"),
    Item("lib/y", FILE),
    Item("usr/lib/z", FILE),
    Item("lib/z", FILE),
    Item("again", HARD, "lib/y"),
)


def pack(items: Sequence[Item], label: str = "") -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for number, item in enumerate(items):
            member = tarfile.TarInfo(item.name)
            member.type, member.linkname = item.kind, item.target
            content = f"{label}{number}".encode()
            member.mode, member.size = 0o755, len(content) if item.kind == FILE else 0
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


@contextmanager
def scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory)


Found = dict[str, tuple[str, ...]]


def facts_of(tree: Tree) -> Found:
    """Type, content or target, and other names of each path."""
    rows = tree.scan().to_dict("records")
    groups: dict[int, list[str]] = {}
    for row in rows:
        groups.setdefault(row["inode"], []).append(row["path"])
    found = {}
    for row in rows:
        path, kind = str(row["path"]), str(row["type"])
        content = tree.read(path).decode() if kind == "file" else str(row["target"])
        names = () if kind == "directory" else sorted(groups[row["inode"]])
        found[path] = (kind, content, *names)
    assert len(found) == len(rows)
    return found


def unpacked(root: Path) -> Found:
    return facts_of(open_tree(root))


def listed(found: Found, real: Found) -> Found:
    """What is really there, without the directories that no entry lists."""
    implied = {path for path in real if real[path][0] == "directory" and path not in found}
    return {path: fact for path, fact in real.items() if path not in implied}


class Chroot:
    """A directory that is the root for GNU tar, which finds its program and libraries there.

    Args:
        directory: An empty directory.
    """

    def __init__(self, directory: Path) -> None:
        self._root = directory / "root"
        self._tools = directory / "tools"
        self._tools.mkdir()
        program = shutil.which("tar")
        assert program is not None
        shutil.copy(program, self._tools / "tar")
        listed = subprocess.run(["ldd", program], check=True, capture_output=True, text=True)
        for name, *more in map(str.split, listed.stdout.splitlines()):
            if more[0] == "=>":
                shutil.copy(more[1], self._tools / name)
            elif "/ld-linux" in name:
                shutil.copy(name, self._tools / "loader")

    def unpack(self, archive: bytes) -> Found | None:
        """Unpack an archive and return what it makes; ``None`` if GNU tar had errors."""
        self._root.mkdir()
        inside = self._tools.rename(self._root / ".tools")
        try:
            done = subprocess.run(
                ["/.tools/loader", "--library-path", "/.tools", "/.tools/tar", "-xPf", "-"],
                input=archive,
                capture_output=True,
                cwd=self._root,
                preexec_fn=self._enter,
            )
            assert done.returncode in (0, 2), done.stderr
            inside.rename(self._tools)
            return None if done.returncode else unpacked(self._root)
        finally:
            shutil.rmtree(self._root)

    def _enter(self) -> None:
        os.chroot(self._root)
        os.chdir("/")


@pytest.fixture(scope="module")
def chroot(tmp_path_factory: pytest.TempPathFactory) -> Chroot:
    return Chroot(tmp_path_factory.mktemp("chroot"))


def inspected(archive: bytes, directory: Path) -> Found | None:
    """What the inspector shows of an archive; ``None`` if it refuses it."""
    file = directory / "it.tar"
    file.write_bytes(archive)
    try:
        with open_tree(file) as tree:
            return facts_of(tree)
    except InspectError:
        return None


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@example(items=MERGED)
@given(items=ARCHIVES)
def test_tar_archives_are_shown_as_gnu_tar_unpacks_them(
    chroot: Chroot, items: tuple[Item, ...]
) -> None:
    archive = pack(items)
    real = chroot.unpack(archive)
    assume(items and real is not None)
    assert real is not None
    with scratch() as top:
        found = inspected(archive, top)
    assert found is not None
    found.setdefault("/", ("directory", ""))
    assert found == listed(found, real)


def test_a_loop_of_links(tmp_path: Path) -> None:
    items = (Item("a", LINK, "b"), Item("b", LINK, "a"), Item("a/x", FILE))
    file = tmp_path / "it.tar"
    file.write_bytes(pack(items))
    with open_tree(file) as tree, pytest.raises(InspectError, match="too many symbolic links"):
        tree.scan()
    (tmp_path / "root").mkdir()
    with pytest.raises(KiwinbError, match="too many symbolic links"):
        apply_layer(io.BytesIO(pack(items)), tmp_path / "root")
    with pytest.raises(KiwinbError, match="too many symbolic links"):
        lay_archive(tmp_path / "root", file)


@pytest.mark.parametrize("kind", [FILE, LINK, HARD])
def test_a_root_that_is_not_a_directory(tmp_path: Path, kind: bytes) -> None:
    items = (Item("a", FILE), Item(".", kind, "a"))
    file = tmp_path / "it.tar"
    file.write_bytes(pack(items))
    with open_tree(file) as tree, pytest.raises(InspectError, match="root is not a directory"):
        tree.scan()
    root = tmp_path / "root"
    root.mkdir()
    with pytest.raises(ImageError, match="root that is not a directory"):
        apply_layer(io.BytesIO(pack(items)), root)
    with pytest.raises(DescriptionError, match="it is the root directory"):
        lay_archive(root, file)
    assert root.is_dir() and not root.is_symlink()


@pytest.mark.parametrize("inside", ["a/x", "a/b/x"])
def test_an_entry_in_a_file(tmp_path: Path, inside: str) -> None:
    file = tmp_path / "it.tar"
    file.write_bytes(pack((Item("a", FILE), Item(inside, FILE))))
    with open_tree(file) as tree, pytest.raises(InspectError, match="/a is not a directory"):
        tree.scan()


def layout(directory: Path, layers: Sequence[bytes]) -> Path:
    """Write an OCI image layout with one image, ``it``."""
    blobs = directory / "blobs/sha256"
    blobs.mkdir(parents=True)

    def put(data: bytes, kind: str) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        media = f"application/vnd.oci.image.{kind}"
        return {"mediaType": media, "digest": f"sha256:{digest}", "size": len(data)}

    config = {
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {
            "type": "layers",
            "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in layers],
        },
    }
    manifest = {
        "schemaVersion": 2,
        "config": put(json.dumps(config).encode(), "config.v1+json"),
        "layers": [put(gzip.compress(layer, 1), "layer.v1.tar+gzip") for layer in layers],
    }
    named = put(json.dumps(manifest).encode(), "manifest.v1+json")
    index = {
        "schemaVersion": 2,
        "manifests": [{**named, "annotations": {"org.opencontainers.image.ref.name": "it"}}],
    }
    (directory / "index.json").write_text(json.dumps(index))
    (directory / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return directory


def packed(layers: Sequence[Sequence[Item]]) -> list[bytes]:
    return [pack(items, f"{'xyz'[number]}-") for number, items in enumerate(layers)]


def applied(layers: Sequence[bytes], root: Path) -> Found | None:
    root.mkdir()
    try:
        for layer in layers:
            apply_layer(io.BytesIO(layer), root)
    except KiwinbError:
        return None
    return unpacked(root)


def shown(layers: Sequence[bytes], directory: Path) -> Found | None:
    try:
        with open_tree(layout(directory, layers)) as tree:
            found = facts_of(tree)
    except InspectError:
        return None
    found.setdefault("/", ("directory", ""))
    return found


def umoci(directory: Path, bundle: Path) -> Found | None:
    argv: list[str | Path] = ["umoci", "unpack", "--image", f"{directory}:it", bundle]
    done = subprocess.run(argv, capture_output=True)
    return None if done.returncode else unpacked(bundle / "rootfs")


LAYER_EXAMPLES: tuple[tuple[tuple[Item, ...], ...], ...] = (
    (MERGED,),
    (MERGED[:3], MERGED[3:]),
    (MERGED, (Item("lib/.wh.y", FILE),)),
    (MERGED, (Item("lib/.wh..wh..opq", FILE), Item("lib/new", FILE))),
    (MERGED, (Item("lib/new", FILE), Item("usr/lib/.wh..wh..opq", FILE))),
    (MERGED, (Item("lib", DIRECTORY), Item("lib/y", FILE))),
    (MERGED, (Item(".wh.lib", FILE),), (Item("lib/y", FILE),)),
    (MERGED, (Item("usr/lib", FILE),)),
    ((Item("out", LINK, "../../.."), Item("out/x", FILE)), (Item("out/.wh.x", FILE),)),
    ((Item("a", FILE), Item("a/.wh.b", FILE)),),
    ((Item("out", LINK, "/../../b"), Item("out/x", FILE), Item("b/y", HARD, "out/x")),),
)


@settings(max_examples=60, deadline=None)
@example(layers=[(Item("b/a", DIRECTORY), Item("b", HARD, "b"))])
@example(layers=[(Item("b/a", FILE), Item("b", HARD, "b/a"))])
@given(layers=LAYERS)
def test_layers_are_shown_as_kiwinb_unpacks_them(layers: list[tuple[Item, ...]]) -> None:
    archives = packed(layers)
    with scratch() as top:
        real, found = applied(archives, top / "root"), shown(archives, top / "layout")
    assert (real is None) == (found is None)
    if real is not None and found is not None:
        assert found == listed(found, real)


@pytest.mark.needs("umoci")
@pytest.mark.parametrize("layers", LAYER_EXAMPLES)
def test_layers_that_lead_through_links(layers: tuple[tuple[Item, ...], ...]) -> None:
    archives = packed(layers)
    with scratch() as top:
        found = shown(archives, top / "layout")
        assert found is not None
        assert found == listed(found, applied(archives, top / "root") or {})
        assert found == listed(found, umoci(top / "layout", top / "bundle") or {})


@pytest.mark.needs("umoci")
@settings(max_examples=15, deadline=None)
@given(layers=LAYERS)
def test_kiwinb_unpacks_layers_as_umoci_does(layers: list[tuple[Item, ...]]) -> None:
    archives = packed(layers)
    with scratch() as top:
        real = umoci(layout(top / "layout", archives), top / "bundle")
        assume(real is not None)
        assert applied(archives, top / "root") == real


@pytest.mark.parametrize("target", ["usr/lib", "/usr/lib", "/../../usr/lib", "a/usr/lib"])
def test_trees_are_built_through_links(tmp_path: Path, target: str) -> None:
    """As a layer over another one, as an archive in a tree, as an overlay over it, and shown."""
    base = (
        Item("usr/lib", DIRECTORY),
        Item("a", LINK, "/"),
        Item("lib", LINK, target),
    )
    more = (Item("lib/y", FILE), Item("usr/lib/z", FILE), Item("lib/z", FILE))
    found = []
    for way in ("layers", "archive", "overlay"):
        root = tmp_path / way
        root.mkdir()
        apply_layer(io.BytesIO(pack(base)), root)
        if way == "layers":
            apply_layer(io.BytesIO(pack(more)), root)
        elif way == "archive":
            file = tmp_path / "more.tar"
            file.write_bytes(pack(more))
            lay_archive(root, file)
        else:
            overlay = tmp_path / "directory"
            for name, content in (("lib/y", "0"), ("lib/z", "2"), ("usr/lib/other", "")):
                (overlay / name).parent.mkdir(parents=True, exist_ok=True)
                (overlay / name).write_text(content)
            lay_directory(root, overlay)
            (root / "usr/lib/other").unlink()
        found.append(unpacked(root))
    assert found[0] == found[1] == found[2]
    assert {path for path in found[0] if path[:5] == "/usr/"} == {
        *("/usr/lib", "/usr/lib/y", "/usr/lib/z"),
    }
    assert found[0]["/usr/lib/z"][1] == "2"
