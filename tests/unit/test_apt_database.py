import gzip
from pathlib import Path

import pytest

from kiwinb.errors import PackageError
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


def test_changes_have_the_format_of_kiwi(tmp_path: Path) -> None:
    """Its ``.changes``: ``NAME|``, the changelog as it is, and an empty line, by name."""
    make_tree(tmp_path)
    documents = tmp_path / "usr/share/doc"
    for name, file, text in (
        ("zlib1g", "changelog.Debian.gz", b"zlib (1.2) unstable; urgency=low\n\n  * \xe9\n"),
        ("zlib1g", "changelog.gz", b"Changes of upstream\n"),
        ("libx", "changelog.gz", b"Version 1 (2020)\n"),
        ("nothing", "copyright", b""),
    ):
        (documents / name).mkdir(exist_ok=True)
        with gzip.open(documents / name / file, "wb") as changelog:
            changelog.write(text)
    (documents / "zlib-link").symlink_to("/usr/share/doc/zlib1g")
    with gzip.open(documents / "adduser/changelog.gz") as changelog:
        native = changelog.read()
    zlib = b"zlib (1.2) unstable; urgency=low\n\n  * \xe9\n\n"
    wanted = b"adduser|\n%b\nzlib-link|\n%bzlib1g|\n%b" % (native, zlib, zlib)
    assert changes(tmp_path).encode("utf-8", "surrogateescape") == wanted


def test_a_damaged_changelog_is_named(tmp_path: Path) -> None:
    make_tree(tmp_path)
    file = tmp_path / "usr/share/doc/adduser/changelog.gz"
    data = bytearray(gzip.compress(b"adduser (1) unstable; urgency=low\n" * 9))
    data[10] = 0xFF  # no type of block
    file.write_bytes(data)
    with pytest.raises(
        PackageError, match=r"adduser/changelog\.gz of the root tree cannot be read"
    ):
        changes(tmp_path)


def test_no_documents_no_changes(tmp_path: Path) -> None:
    assert changes(tmp_path) == ""


def test_database_behind_an_absolute_link(tmp_path: Path) -> None:
    make_tree(tmp_path)
    (tmp_path / "usr/lib/sysimage").mkdir(parents=True)
    (tmp_path / "var/lib/dpkg").rename(tmp_path / "usr/lib/sysimage/dpkg")
    (tmp_path / "var/lib/dpkg").symlink_to("/usr/lib/sysimage/dpkg")
    assert len(installed(tmp_path)) == 2


MADE = (
    "etc/passwd-",
    "etc/ssh/ssh_host_rsa_key",
    "etc/ssh/ssh_host_rsa_key.pub",
    "etc/ssl/certs/ssl-cert-snakeoil.pem",
    "etc/ssl/private/ssl-cert-snakeoil.key",
    "run/lock/file",
    "var/cache/apt/archives/x_1_all.deb",
    "var/cache/apt/pkgcache.bin",
    "var/cache/ldconfig/aux-cache",
    "var/lib/apt/lists/example_dists_x_InRelease",
    "var/lib/dbus/machine-id",
    "var/lib/dpkg/status-old",
    "var/lib/systemd/credential.secret",
    "var/lib/systemd/random-seed",
    "var/log/apt/history.log",
    "var/log/dpkg.log",
    "var/log/fontconfig.log",
    "var/tmp/directory/file",
)
"""What packages make and an image should not have."""


def _make(root: Path, *names: str, text: str = "x\n") -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def test_what_packages_make_is_removed(tmp_path: Path) -> None:
    stays = ["etc/ssh/sshd_config", "var/lib/dpkg/status", "var/log/apt", "var/lib/apt/lists"]
    lines: list[str] = []
    with cleanup.settled(tmp_path, lines.append):
        _make(tmp_path, *MADE, *stays[:2])
        _make(tmp_path, "etc/machine-id", text="0123456789abcdef0123456789abcdef\n")
        (tmp_path / "etc/ssl/certs/0123abcd.0").symlink_to("ssl-cert-snakeoil.pem")
    assert [name for name in MADE if (tmp_path / name).exists()] == []
    assert [name for name in stays if not (tmp_path / name).exists()] == []
    assert (tmp_path / "etc/machine-id").read_bytes() == b""
    assert list((tmp_path / "etc/ssl/certs").iterdir()) == []
    assert len(lines) == 2


def test_what_was_there_before_stays(tmp_path: Path) -> None:
    _make(tmp_path, *MADE, "etc/machine-id", text="own\n")
    (tmp_path / "etc/ssl/certs/0123abcd.0").symlink_to("ssl-cert-snakeoil.pem")
    lines: list[str] = []
    with cleanup.settled(tmp_path, lines.append):
        _make(tmp_path, "etc/machine-id", text="0123456789abcdef0123456789abcdef\n")
        _make(tmp_path, "etc/ssh/ssh_host_ecdsa_key", "var/tmp/directory/another")
    assert [name for name in MADE if (tmp_path / name).read_text() != "own\n"] == []
    assert (tmp_path / "etc/machine-id").read_text() == "own\n"
    assert (tmp_path / "etc/ssl/certs/0123abcd.0").is_symlink()
    assert not (tmp_path / "etc/ssh/ssh_host_ecdsa_key").exists()
    assert len(lines) == 1


@pytest.mark.parametrize("before", [None, "", "uninitialized\n"])
def test_a_machine_id_may_be_uninitialized(before: str | None, tmp_path: Path) -> None:
    if before is not None:
        _make(tmp_path, "etc/machine-id", text=before)
    with cleanup.settled(tmp_path, lambda line: None):
        _make(tmp_path, "etc/machine-id", text="uninitialized\n")
    assert (tmp_path / "etc/machine-id").read_text() == "uninitialized\n"
    with cleanup.settled(tmp_path, lambda line: None):
        _make(tmp_path, "etc/machine-id", text="0123456789abcdef0123456789abcdef\n")
    assert (tmp_path / "etc/machine-id").read_text() == "uninitialized\n"


def test_a_machine_id_that_leads_out_of_the_tree(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    _make(root, "etc/machine-id", text="")
    outside.write_text("precious")
    with cleanup.settled(root, lambda line: None):
        (root / "etc/machine-id").unlink()
        (root / "etc/machine-id").symlink_to(outside)
    assert outside.read_text() == "precious"
