import gzip
from pathlib import Path

from kiwinb.packages.apt import cleanup
from kiwinb.packages.apt.changes import changes
from kiwinb.packages.databases import installed

STATUS = """\
Package: zlib1g
Status: install ok installed
Section: libs
Installed-Size: 168
Architecture: amd64
Source: zlib (1:1.2.13.dfsg-1)
Version: 1:1.2.13.dfsg-1+b1
Description: compression library - runtime
 zlib is a library.
 .
 More.

Package: gone
Status: deinstall ok config-files
Architecture: all
Version: 1

Package: adduser
Status: install ok installed
Installed-Size: 686
Architecture: all
Version: 3.134
Conffiles:
 /etc/adduser.conf 455e5fb5fd815d177dcc71db5193f6fc
Description: add and remove users
"""


def make_tree(root: Path) -> None:
    (root / "var/lib/dpkg").mkdir(parents=True)
    (root / "var/lib/dpkg/status").write_text(STATUS)
    doc = root / "usr/share/doc/adduser"
    doc.mkdir(parents=True)
    entry = "adduser (3.134) unstable; urgency=low\n\n  * A change.\n\n -- A <a@b>  Thu\n"
    older = "\nadduser (3.133) unstable; urgency=low\n\n  * Older.\n\n -- A <a@b>  Wed\n"
    with gzip.open(doc / "changelog.gz", "wt") as changelog:
        changelog.write(entry + older)


def test_installed_packages(tmp_path: Path) -> None:
    make_tree(tmp_path)
    adduser, zlib = installed(tmp_path)
    assert (adduser.name, adduser.version, adduser.arch) == ("adduser", "3.134", "all")
    assert (adduser.source, adduser.source_version) == ("adduser", "3.134")
    assert (zlib.source, zlib.source_version) == ("zlib", "1:1.2.13.dfsg-1")
    assert zlib.installed_size == 168 * 1024
    assert zlib.summary == "compression library - runtime"
    assert zlib.section == "libs"


def test_empty_tree_has_no_packages(tmp_path: Path) -> None:
    assert installed(tmp_path) == ()


def test_changes_show_the_newest_entry(tmp_path: Path) -> None:
    make_tree(tmp_path)
    text = changes(tmp_path)
    assert "adduser 3.134 (all)\n  adduser (3.134)" in text
    assert "A change" in text
    assert "Older" not in text
    assert "zlib1g 1:1.2.13.dfsg-1+b1 (amd64)\n" in text


def test_database_behind_an_absolute_link(tmp_path: Path) -> None:
    make_tree(tmp_path)
    (tmp_path / "usr/lib/sysimage").mkdir(parents=True)
    (tmp_path / "var/lib/dpkg").rename(tmp_path / "usr/lib/sysimage/dpkg")
    (tmp_path / "var/lib/dpkg").symlink_to("/usr/lib/sysimage/dpkg")
    assert len(installed(tmp_path)) == 2


def test_clean_up(tmp_path: Path) -> None:
    gone = [
        "etc/ssh/ssh_host_rsa_key",
        "etc/ssh/ssh_host_rsa_key.pub",
        "etc/ssl/private/ssl-cert-snakeoil.key",
        "var/cache/ldconfig/aux-cache",
        "var/log/apt/history.log",
        "var/log/dpkg.log",
        "var/lib/apt/lists/example_dists_x_InRelease",
        "var/lib/dpkg/status-old",
    ]
    stays = ["etc/ssh/sshd_config", "var/lib/dpkg/status", "var/lib/apt/lists/partial"]
    (tmp_path / "var/lib/apt/lists/partial").mkdir(parents=True)
    for name in (*gone, *stays[:-1], "etc/machine-id"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x\n")
    (tmp_path / "etc/ssl/certs").mkdir()
    (tmp_path / "etc/ssl/certs/0123abcd.0").symlink_to("ssl-cert-snakeoil.pem")
    lines: list[str] = []
    cleanup.clean(tmp_path, lines.append)
    assert [name for name in gone if (tmp_path / name).exists()] == []
    assert [name for name in stays if not (tmp_path / name).exists()] == []
    assert (tmp_path / "etc/machine-id").read_bytes() == b""
    assert list((tmp_path / "etc/ssl/certs").iterdir()) == []
    assert (tmp_path / "var/log/apt").is_dir()
    assert any("ssh-keygen -A" in line for line in lines)
