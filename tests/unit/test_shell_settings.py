"""Files of settings, products, keys, and boxes for Vagrant."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from shell_tree import Tree

from kiwinb.errors import CommandError


def test_sysconfig(tree: Tree) -> None:
    path = tree.write("/etc/sysconfig/x", '# ONE="0"\nONE="1"\nONE_MORE=2\nTHREE=\'3\'', 0o640)
    value = r'a "b" $c `d` \e &@/|'
    lines = tree.sh(
        "f=/etc/sysconfig/x; baseUpdateSysConfig $f ONE \"$v\"; baseUpdateSysConfig $f NEW ''\n"
        'baseUpdateSysConfig /no/file A b; . /etc/sysconfig/x; echo "$ONE|$ONE_MORE|$THREE|$NEW"',
        v=value,
    )
    assert lines == ["baseUpdateSysConfig: there is no file /no/file", f"{value}|2|3|"]
    assert tree.read("/etc/sysconfig/x").splitlines()[0] == '# ONE="0"'
    assert path.stat().st_mode & 0o777 == 0o640


def test_quoting_a_file(tree: Tree) -> None:
    tree.write(
        "/etc/f", "# a comment\n\n  # another\nA=one two\nB=\"it's\"\nC='x $(false)'\nD=a\\$b\n"
    )
    assert tree.sh('baseQuoteFile /etc/f; . /etc/f; printf "%s\\n" "$A" "$B" "$C" "$D"') == [
        "one two",
        "it's",
        "x $(false)",
        "a$b",
    ]
    assert tree.read("/etc/f").startswith("A='one two'\n")


def test_build_day(tree: Tree) -> None:
    tree.sh("baseSetupBuildDay")
    assert tree.read("/build_day") == "build_day=20200913\n"  # SOURCE_DATE_EPOCH 1600000000


@pytest.mark.parametrize(
    ("files", "product"),
    [
        ({"etc/os-release": 'NAME="SLES"\nID=sles\n'}, "SLES.prod"),
        ({"etc/SuSE-brand": "openSUSE\nVERSION = 1\n", "etc/os-release": "NAME=SLES\n"}, "a.prod"),
        ({"etc/SuSE-brand": "SLED\n"}, "SUSE_SLED.prod"),
        ({}, "z.prod"),
    ],
)
def test_product(tree: Tree, files: dict[str, str], product: str) -> None:
    for name in ("SLES", "SUSE_SLED", "z", product.removesuffix(".prod")):
        tree.write(f"/etc/products.d/{name}.prod")
    if product == "a.prod":
        (tree.root / "etc/products.d/a.prod").rename(tree.root / "etc/products.d/openSUSE.prod")
        product = "openSUSE.prod"
    for path, text in files.items():
        tree.write(path, text)
    tree.sh("suseSetupProduct")
    assert str((tree.root / "etc/products.d/baseproduct").readlink()) == product


def test_no_products(tree: Tree) -> None:
    tree.sh("suseSetupProduct")
    assert not tree.has("/etc/products.d")


def test_build_keys(tree: Tree, tmp_path: Path) -> None:
    home = tmp_path / "gpg"
    home.mkdir(mode=0o700)
    gpg: list[str | Path] = ["gpg", "--homedir", home, "--batch", "--quiet", "--passphrase", ""]
    subprocess.run([*gpg, "--quick-gen-key", "builds@example.org", "rsa2048"], check=True)
    armoured = subprocess.run([*gpg, "--armor", "--export"], check=True, capture_output=True)
    subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=True)
    tree.write("/usr/lib/rpm/gnupg/keys/gpg-pubkey-builds.asc", armoured.stdout)
    lines = tree.sh("suseImportBuildKey; rpm -q gpg-pubkey --qf '%{summary}\\n'")
    assert any("importing" in line for line in lines)
    assert any("builds@example.org" in line for line in lines)


def test_vagrant_box(tree: Tree) -> None:
    tree.write(
        "/etc/passwd", "root:x:0:0::/root:/bin/bash\nvagrant:x:1000:1000::/home/vagrant:/bin/sh\n"
    )
    tree.write("/etc/group", "root:x:0:\nvagrant:x:1000:\n")
    tree.write("/usr/lib/systemd/system/ssh.service", "[Install]\nWantedBy=multi-user.target\n")
    (tree.root / "etc/sudoers.d").mkdir()
    (tree.root / "home").mkdir()
    tree.write("/etc/ssh/sshd_config", "UseDNS yes\n")
    lines = tree.sh(
        "baseVagrantSetup; baseVagrantSetup\n"
        "stat -c '%U %a' ~vagrant/.ssh; cat ~vagrant/.ssh/authorized_keys /etc/sudoers.d/vagrant"
    )
    owner, key, sudoers = lines[-3:]
    assert owner == "vagrant 700"
    assert key.endswith("vagrant insecure public key")
    assert sudoers == "vagrant ALL=(ALL) NOPASSWD: ALL"
    assert tree.read("/etc/ssh/sshd_config").startswith("UseDNS no\n")
    assert tree.has("/vagrant")
    assert tree.has("/etc/systemd/system/multi-user.target.wants/ssh.service")


def test_vagrant_box_without_its_user(tree: Tree) -> None:
    with pytest.raises(CommandError, match="no user vagrant"):
        tree.sh("baseVagrantSetup")
