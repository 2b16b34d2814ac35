"""Distributions are found from what a tree says of itself, and from nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from kiwinb.distributions import DISTRIBUTIONS, find_in_tree, named, of_mirror, release, used_with
from kiwinb.distributions.distribution import Distribution
from kiwinb.errors import ImageError


def tree(root: Path, text: str, file: str = "etc/os-release") -> Path:
    (root / file).parent.mkdir(parents=True, exist_ok=True)
    (root / file).write_text(text)
    return root


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('ID=debian\nVERSION_ID="12"\n', "debian"),
        ("ID=ubuntu\nID_LIKE=debian\n", "ubuntu"),
        ('ID="linuxmint"\nID_LIKE="ubuntu debian"\n', "ubuntu"),
        ("ID=fedora\n", "redhat"),
        ('ID="rocky"\nID_LIKE="rhel centos fedora"\n', "redhat"),
        ('ID="opensuse-leap"\nID_LIKE="suse opensuse"\n', "suse"),
        ('ID="sles"\nID_LIKE="suse"\n', "suse"),
        ("ID=arch\n", "archlinux"),
        ("ID=alpine\n", "alpine"),
    ],
)
@pytest.mark.proves("distribution", "*")
def test_a_tree_says_what_it_is(tmp_path: Path, text: str, name: str) -> None:
    assert find_in_tree(tree(tmp_path, text)).name == name


def test_the_file_of_usr_counts_where_etc_has_none(tmp_path: Path) -> None:
    tree(tmp_path, "ID=debian\n", "usr/lib/os-release")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").symlink_to("/usr/lib/os-release")
    assert find_in_tree(tmp_path).name == "debian"
    (tmp_path / "etc/os-release").unlink()
    assert find_in_tree(tmp_path).name == "debian"


def test_nothing_is_taken_for_another_distribution(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="does not say which distribution it is:"):
        find_in_tree(tmp_path)
    with pytest.raises(ImageError, match=r"does not know: plan9 \(in /etc/os-release\)") as caught:
        find_in_tree(tree(tmp_path, "ID=plan9\nID_LIKE='unix bell'\n"))
    assert "debian" in str(caught.value.remedy)


def test_damaged_lines_are_passed_over(tmp_path: Path) -> None:
    said = release(tree(tmp_path, '# ID=no\nNAME="Debian\nID=debian\nnothing\nPRETTY_NAME="A B"\n'))
    assert said == {"ID": "debian", "PRETTY_NAME": "A B"}


def test_names_of_descriptions() -> None:
    assert named("archlinux").name == "archlinux"
    assert named("suse").efi_vendor("opensuse-tumbleweed") == "opensuse"
    assert named("redhat").efi_vendor("fedora") == "fedora"
    with pytest.raises(ImageError, match="no distribution"):
        named("minix")


def test_what_is_known_before_there_is_a_tree() -> None:
    assert [item.name for item in used_with("zypper")] == ["suse"]
    assert [item.name for item in used_with(None)] == [*DISTRIBUTIONS]
    found = of_mirror("debian-security")
    assert found is not None and found.name == "debian"
    assert of_mirror("elsewhere") is None


@pytest.mark.parametrize("distribution", DISTRIBUTIONS.values(), ids=list(DISTRIBUTIONS))
def test_every_record_is_whole(distribution: Distribution) -> None:
    assert distribution.ids and distribution.managers and distribution.kernels
    assert distribution.initrd_name("6.1.0") == distribution.initrds[0].format("6.1.0")
    assert "6.1.0" in distribution.initrd_name("6.1.0")
    assert distribution.certificates.directory.startswith("/")
    others = [item for item in DISTRIBUTIONS.values() if item is not distribution]
    assert not any(set(item.ids) & set(distribution.ids) for item in others)
