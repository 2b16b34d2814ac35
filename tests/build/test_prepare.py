"""Everything that prepare does with a description, seen in the tree that it leaves."""

from __future__ import annotations

import gzip
import os
import subprocess
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

import pytest
from forecasts import Versions, forecast, versions
from small_build import settings

from kiwinb.build.appliance import Appliance
from kiwinb.checkpoints.treescan import Entry
from kiwinb.prepare.keyboard import find_layout, plain_name

pytestmark = pytest.mark.build

DESCRIPTION = """\
<image schemaversion="8.5" name="Test_Image" id="4711">
  <description type="system">
    <author>A. Author</author><contact>author@example.org</contact>
    <specification>All that prepare does</specification>
  </description>
  <profiles>
    <profile name="special" description="Selected"/>
    <profile name="other" description="Not selected"/>
  </profiles>
  <preferences>
    <version>1.0.0</version>
    <packagemanager>apt</packagemanager>
    <locale>de_DE,en_US</locale>
    <keytable>uk</keytable>
    <timezone>Europe/Berlin</timezone>
    <type image="tbz"/>
  </preferences>
  <users>
    <user name="root" password="*" pwdformat="encrypted" shell="/bin/sh"/>
    <user name="operator" id="1500" groups="staff:50,crew:1600,adm" home="/srv/operator"
        realname="The Operator" shell="/bin/bash" password="secret" pwdformat="plain"/>
    <user name="daemon" shell="/bin/false"/>
  </users>
  <users profiles="other"><user name="nobody-else"/></users>
  <repository type="apt-deb" alias="debian" distribution="bookworm" components="main"
      imageinclude="true">
    <source path="mirror:debian"/>
  </repository>
  <packages type="bootstrap">
    <package name="ca-certificates"/><package name="passwd"/>
  </packages>
  <packages type="image">
    <package name="tzdata"/><package name="locales"/><package name="less"/>
    <package name="netcat-openbsd"/>
    <package name="console-data"/><package name="console-setup"/><package name="systemd"/>
    <package name="openssh-server"/>
    <package name="hello" arch="never"/>
    <archive name="tools.tar.xz" target_dir="/opt/tools"/>
    <file name="token" target="/etc/secret/token" owner="operator:crew" permissions="0640"/>
    <file name="token" target="/root/token"/>
  </packages>
  <packages type="image" profiles="other"><package name="cowsay"/></packages>
  <packages type="delete"><package name="less"/></packages>
  <packages type="uninstall"><package name="netcat-openbsd"/></packages>
  <certificates target_distribution="debian"><certificate name="own.pem"/></certificates>
</image>
"""

Found = dict[str, Entry | str]


class Built(NamedTuple):
    """The exported tree, what is found in it, the packages that were forecast, and its own."""

    root: Path
    found: Found
    wanted: Versions
    packages: Versions


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    """The exported tree, what is found in it, and packages."""
    directory = tmp_path_factory.mktemp("prepare")
    description = directory / "description"
    _write(description)
    appliance = Appliance(description, profiles=["special"], settings=settings(directory))
    wanted = forecast(appliance)
    packages = versions(appliance.prepare().packages())
    key = appliance.plan.prepare[-1].key
    root = directory / "root"
    appliance.store.export_tree(key, root)
    found: dict[str, Entry | str] = {}
    for entry in appliance.store.scan(key):
        path = entry.path.decode()
        found[path] = entry
        if entry.kind == "file" and path.startswith(("etc/", "srv/", "opt/")):
            found["text:" + path] = (root / path).read_bytes().decode("utf-8", "replace")
    yield Built(root, found, wanted, packages)
    appliance.store.remove_exported(root)
    appliance.store.remove([step.key for step in appliance.steps])


@pytest.fixture(scope="module")
def root(built: Built) -> Path:
    """The tree as a directory."""
    return built.root


@pytest.fixture(scope="module")
def tree(built: Built) -> Found:
    """Entries of the tree by path, and the text of small files below ``/etc`` and ``/srv``."""
    return built.found


def _write(description: Path) -> None:
    for path, text in {
        "config.xml": DESCRIPTION,
        "root/etc/motd": "from root\n",
        "root/etc/issue": "from root\n",
        "root/etc/ssh/ssh_host_ed25519_key": "a secret that the machines share\n",
        "root/home/operator/not-a-home": "own\n",
        "root/srv/operator/.config/app/settings": "own\n",
        "root/srv/operator/.config/app/secret": "own\n",
        "root/tmp/for-later": "own\n",
        "root/var/lib/apt/lists/own_InRelease": "own\n",
        "special/etc/issue": "from the profile\n",
        "other/etc/issue": "from another profile\n",
        "token": "abc\n",
        "post_bootstrap.sh": "test ! -e /usr/bin/less; echo post_bootstrap >> /srv/order\n",
        "config.sh": (
            "set -e\ntest -x /usr/bin/less\ntest -d ~operator\n. /.profile\n"
            'echo "config $kiwi_iname $kiwi_profiles" >> /srv/order\n'
        ),
    }.items():
        (description / path).parent.mkdir(parents=True, exist_ok=True)
        (description / path).write_text(text)
    (description / "root/srv/operator/.config/app/secret").chmod(0o600)
    (description / "root/srv/operator/link").symlink_to("../../etc/passwd")
    packed = description.parent / "packed"
    (packed / "bin").mkdir(parents=True)
    (packed / "bin/tool").write_text("#!/bin/sh\n")
    (packed / "bin/tool").chmod(0o755)
    archive: list[str | Path] = ["tar", "-C", packed, "--owner=12", "--group=34", "-cJf"]
    subprocess.run([*archive, description / "tools.tar.xz", "bin"], check=True)
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "365"),
            *("-subj", "/CN=Own CA", "-keyout", os.devnull, "-out", description / "own.pem"),
        ],
        check=True,
        capture_output=True,
    )


def test_the_forecast_of_packages_was_right(built: Built) -> None:
    wanted, packages = built.wanted, built.packages
    assert wanted == packages
    assert not {"less", "netcat-openbsd", "usrmerge"} & {name for name, _, _ in packages}


def _lines(tree: dict[str, Entry | str], path: str) -> list[str]:
    text = tree[f"text:{path}"]
    assert isinstance(text, str)
    return text.splitlines()


def test_users_and_groups(tree: dict[str, Entry | str]) -> None:
    passwd = _lines(tree, "etc/passwd")
    assert "operator:x:1500:50:The Operator:/srv/operator:/bin/bash" in passwd
    assert any(line.startswith("daemon:") and line.endswith(":/bin/false") for line in passwd)
    assert any(line.startswith("root:") and line.endswith(":/bin/sh") for line in passwd)
    assert not any(line.startswith("nobody-else:") for line in passwd)
    groups = _lines(tree, "etc/group")
    assert "crew:x:1600:operator" in groups
    assert "adm:x:4:operator" in groups
    shadow = dict(line.split(":", 2)[:2] for line in _lines(tree, "etc/shadow"))
    assert shadow["root"] == "*"
    salt = shadow["operator"].split("$")[2]
    openssl = ["openssl", "passwd", "-6", "-salt", salt, "secret"]
    assert shadow["operator"] == subprocess.check_output(openssl, text=True).strip()
    below = [path for path in tree if path == "srv/operator" or path.startswith("srv/operator/")]
    assert {*below} >= {f"srv/operator{name}" for name in ("", "/link", "/.config/app/settings")}
    for path in below:
        home = tree[path]
        assert isinstance(home, Entry)
        assert (path, home.uid, home.gid) == (path, 1500, 50)
    secret, other = tree["srv/operator/.config/app/secret"], tree["home/operator/not-a-home"]
    assert isinstance(secret, Entry)
    assert isinstance(other, Entry)
    assert (secret.mode, other.uid) == (0o600, 0)


def test_overlays_of_root_and_of_the_selected_profile(tree: dict[str, Entry | str]) -> None:
    assert _lines(tree, "etc/motd") == ["from root"]
    assert _lines(tree, "etc/issue") == ["from the profile"]


def test_archives_and_files(tree: dict[str, Entry | str]) -> None:
    tool, token = tree["opt/tools/bin/tool"], tree["etc/secret/token"]
    assert isinstance(tool, Entry)
    assert isinstance(token, Entry)
    assert (tool.uid, tool.gid, tool.mode) == (12, 34, 0o755)
    assert (token.uid, token.gid, token.mode) == (1500, 1600, 0o640)


def test_directories_of_the_tree_stay_as_they_are(tree: dict[str, Entry | str]) -> None:
    """Files came into them from an overlay, and into ``/root`` from a ``<file>``."""
    assert {"tmp/for-later", "root/token"} <= set(tree)
    for path, mode in (("tmp", 0o1777), ("root", 0o700), ("etc/secret", 0o755)):
        directory = tree[path]
        assert isinstance(directory, Entry)
        assert (path, directory.uid, directory.gid, directory.mode) == (path, 0, 0, mode)


def test_identity(tree: dict[str, Entry | str]) -> None:
    assert _lines(tree, "etc/hostname") == ["test-image"]
    assert _lines(tree, "etc/ImageID") == ["4711"]
    assert _lines(tree, "etc/default/locale") == ["LANG=de_DE.UTF-8"]
    assert _lines(tree, "etc/vconsole.conf")[0] == 'KEYMAP="uk"'
    localtime = tree["etc/localtime"]
    assert isinstance(localtime, Entry)
    assert localtime.target == b"/usr/share/zoneinfo/Europe/Berlin"


def test_the_keyboard_has_the_layout_of_the_keymap(
    root: Path, tree: dict[str, Entry | str]
) -> None:
    for file in ("etc/default/keyboard", "etc/vconsole.conf"):
        assert 'XKBLAYOUT="gb"' in _lines(tree, file)
    assert "etc/console-setup/cached_setup_keyboard.sh" in tree
    cached = root / "etc/console-setup/cached_UTF-8_del.kmap.gz"
    keycodes = gzip.decompress(cached.read_bytes())
    assert b"\nkeycode 4 = U+0033 U+00a3 " in keycodes  # Shift+3 is the pound sign


def test_every_keymap_of_the_tree_has_a_layout_that_its_xkb_knows(
    root: Path,
) -> None:
    directory = root / "usr/share/keymaps"
    of_console_data = {plain_name(path.name) for path in directory.rglob("*.kmap.gz")}
    rows = (root / "usr/share/systemd/kbd-model-map").read_text().splitlines()
    of_systemd = {row.split()[0] for row in rows if not row.startswith("#")}
    assert min(len(of_console_data), len(of_systemd)) > 60
    known = _rules(root / "usr/share/X11/xkb/rules/evdev.lst")
    for keymap in of_console_data | of_systemd:
        found = find_layout(root, keymap)
        assert found is not None, keymap
        layouts, variants = found.layout.split(","), found.variant.split(",")
        for layout, variant in zip_longest(layouts, variants, fillvalue=""):
            assert ("layout", layout) in known, keymap
            assert not variant or ("variant", f"{variant} {layout}:") in known, keymap


def _rules(file: Path) -> set[tuple[str, str]]:
    """Sections and names of XKB's list of rules, such as ``variant`` and ``intl gb:``."""
    found, section = set(), ""
    for line in file.read_text().splitlines():
        words = line.split()
        if words[:1] == ["!"]:
            section = words[1]
        elif words:
            found.add((section, " ".join(words[: 2 if section == "variant" else 1])))
    return found


def test_what_the_overlay_brought_stays(tree: dict[str, Entry | str]) -> None:
    assert _lines(tree, "etc/ssh/ssh_host_ed25519_key") == ["a secret that the machines share"]
    assert [path for path in tree if path.startswith("etc/ssh/ssh_host_")] == [
        "etc/ssh/ssh_host_ed25519_key"
    ]
    assert {"tmp/for-later", "var/lib/apt/lists/own_InRelease"} <= set(tree)
    assert not [path for path in tree if "ssh-host-keys" in path]


def test_scripts_ran_in_order_and_left_nothing(tree: dict[str, Entry | str]) -> None:
    assert _lines(tree, "srv/order") == ["post_bootstrap", "config Test_Image special"]
    assert not {".kconfig", ".profile", "image"} & set(tree)


def test_packages_were_deleted_and_left_out(tree: dict[str, Entry | str]) -> None:
    for gone in ("usr/bin/less", "usr/bin/nc.openbsd", "usr/games/cowsay", "usr/bin/hello"):
        assert gone not in tree


def test_the_certificate_is_trusted(tree: dict[str, Entry | str]) -> None:
    assert "usr/local/share/ca-certificates/own.crt" in tree
    assert "etc/ssl/certs/own.pem" in tree


def test_no_traces_of_the_build(tree: dict[str, Entry | str]) -> None:
    for gone in (
        "etc/passwd-",
        "etc/.pwd.lock",
        "usr/sbin/policy-rc.d",
        "var/cache/apt/pkgcache.bin",
        "var/cache/ldconfig/aux-cache",
        "var/lib/dpkg/status-old",
        "var/log/alternatives.log",
    ):
        assert gone not in tree
    assert _lines(tree, "etc/machine-id") == []


def test_the_image_has_its_own_repositories(tree: dict[str, Entry | str]) -> None:
    sources = [path for path in tree if path.startswith("text:etc/apt/sources.list.d/")]
    assert len(sources) == 1
    assert "bookworm" in str(tree[sources[0]])
