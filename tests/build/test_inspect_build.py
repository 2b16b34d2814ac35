"""What is said of a real root tree and its image, held against dpkg and du themselves."""

import subprocess
from pathlib import Path

import pytest
from small_build import build, write_description

import kiwinb
from kiwinb import Image, RootTree, expect
from kiwinb.errors import ExpectationError
from kiwinb.inspect.files import files
from kiwinb.inspect.formats.checkpoint import CheckpointTree
from kiwinb.inspect.links import resolver

pytestmark = pytest.mark.build

Built = tuple[RootTree, Path, Image]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The root tree, the same in a directory, and the image."""
    directory = tmp_path_factory.mktemp("inspect")
    write_description(directory)
    appliance, image = build(directory)
    root = appliance.prepare()
    return root, root.export(directory / "root"), image


def test_owners_are_those_that_dpkg_names(built: Built) -> None:
    _root, directory, _image = built
    with kiwinb.open_tree(directory) as tree:
        table = files(tree)
    owner = table.set_index("path")["package"]
    is_directory = table.set_index("path")["type"].eq("directory")
    links = table[table["type"].eq("symlink")]
    real = resolver(dict(zip(links["path"], links["target"], strict=True)))
    admin = directory / "var/lib/dpkg"
    said = subprocess.run(
        ["dpkg-query", f"--admindir={admin}", "-S", "*"], capture_output=True, text=True
    ).stdout
    checked = 0
    for line in said.splitlines():
        names, _, path = line.partition(": ")
        parent, _, name = path.rstrip("/.").rpartition("/")
        place = f"{real[parent]}/{name}"
        if line.startswith(("diversion by", "local diversion")) or is_directory[place]:
            continue
        assert owner[place].split(":")[0] in {part.split(":")[0] for part in names.split(", ")}
        checked += 1
    assert checked > 3000


def test_bytes_are_those_that_du_counts(built: Built) -> None:
    _root, directory, _image = built
    command: list[str | Path] = ["du", "-s", "--block-size=1", directory]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    with kiwinb.open_tree(directory) as tree:
        assert files(tree)["usage"].sum() == int(printed.split()[0])


def test_every_package_has_a_reason(built: Built) -> None:
    root, directory, _image = built
    table = root.packages().set_index("name")
    command: list[str | Path] = [
        "dpkg-query",
        f"--admindir={directory}/var/lib/dpkg",
        "-W",
        "-f",
        "${Package}\n",
    ]
    names = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert list(table.index) == names
    assert table.loc["iputils-ping", "why"] == "named in image"
    assert table.loc["passwd", "why"] == "named in bootstrap"
    assert table.loc["dpkg", "why"] == "essential"
    assert table["why"].loc["libc6"].startswith("dependency of ")
    assert "bash" in table["required_by"].loc["libtinfo6"]
    assert not table["why"].str.contains("nothing here needs it").any()


def test_what_no_package_has_is_what_the_description_brings(built: Built) -> None:
    root, _directory, _image = built
    table = root.unowned()
    left = set(table.loc[table["reason"].eq(""), "path"])
    home = "/home/operator/.config"
    assert left == {"/srv/data", home, f"{home}/app", f"{home}/app/settings"}


def test_the_image_holds_what_the_tree_does(built: Built) -> None:
    root, _directory, image = built
    found = kiwinb.diff(root, image)
    assert found.packages.empty
    assert found.files.empty, found.files
    by_section = image.breakdown("section", compressed=True)
    assert 0 < by_section["compressed"].sum() < by_section["size"].sum()
    assert by_section["size"].sum() == root.files().drop_duplicates("inode")["size"].sum()


def test_a_step_and_a_list_of_packages(built: Built) -> None:
    root, _directory, image = built
    steps = {step.name: step for step in root.session.steps}
    bootstrap = CheckpointTree(root.session.store, steps["bootstrap"].key)
    added = kiwinb.diff(bootstrap, root).packages
    assert set(added["change"]) == {"added"}
    assert "iputils-ping" in set(added["name"])
    assert not kiwinb.diff(image.result.path("image_packages"), root).packages.size


def test_expectations(built: Built) -> None:
    root, _directory, image = built
    with pytest.raises(ExpectationError) as caught, expect.all() as checks:
        expect.size(image, at_most="1 GiB")
        expect.package(root, "iputils-ping", at_least="3:2022")
        expect.no_package(image, section="x11")
        expect.file(image, "/etc/motd", contains="hello", mode=0o644, owner="root")
        expect.file(root, "/bin/sh", owner="root")
        expect.no_unowned(root, ignore=["/srv/*", "/home/operator/.*"])
        expect.no_package(root, "tzdata")
    assert [item.what for item in checks.failures] == ["package tzdata"]
    assert "package tzdata: 1 (" in str(caught.value)
