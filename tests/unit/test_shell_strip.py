"""Functions that make a tree smaller."""

from __future__ import annotations

import shutil
from pathlib import Path

from shell_tree import Tree


def test_keep_by_pattern(tree: Tree) -> None:
    for name in ("a.txt", "b.txt", "c d/x"):
        tree.write(f"/srv/{name}")
    lines = tree.sh("find /srv -mindepth 1 -maxdepth 1 | baseStripAndKeep '^a' none")
    assert tree.files("/srv") == {"a.txt"}
    assert sorted(lines) == ["rm /srv/b.txt", "rm /srv/c d"]


def test_nothing_of_the_running_system_is_deleted(tree: Tree) -> None:
    (tree.root / "escape").symlink_to("dev")
    paths = (
        "/ /proc /proc/self/mounts /dev/null /sys/kernel /usr/.. /usr/. /run/lock/"
        " /escape/null //proc"
    )
    lines = tree.sh(
        f"printf '%s\\n' {paths} | baseStripAndKeep; test -e /dev/null; test -d /run/lock"
    )
    assert lines == [f"_kiwinb_delete: {path} is not deleted" for path in paths.split()]
    assert tree.has("/usr/bin/bash")


def test_deletion_follows_no_link_out_of_the_tree(tree: Tree, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").touch()
    (tree.root / "srv").mkdir()
    (tree.root / "srv/link").symlink_to(outside)
    tree.sh(f"printf '%s\\n' /srv/link/precious {outside}/precious /srv/link | baseStripAndKeep")
    assert not tree.has("/srv/link")
    assert (outside / "precious").exists()


def test_locales(tree: Tree) -> None:
    for name in ("de_DE.utf8", "en_US.utf8", "en_US", "fr_FR.utf8", "POSIX"):
        tree.write(f"/usr/lib/locale/{name}/LC_TIME")
    tree.sh("baseStripLocales en_US de_DE.UTF-8")
    kept = {path.name for path in (tree.root / "usr/lib/locale").iterdir()}
    assert kept == {"C.utf8", "POSIX", "de_DE.utf8", "en_US.utf8", "en_US"}


def test_archive_of_locales(tree: Tree) -> None:
    """One that localedef makes, as on a distribution without locale-gen."""
    subtree = tree.root / "usr/lib/locale"
    tree.sh(
        "for i in de_DE.utf8 fr_FR.utf8; do cp -r /usr/lib/locale/C.utf8 /tmp/$i;"
        " localedef --add-to-archive /tmp/$i; rm -r /tmp/$i; done"
    )
    assert (subtree / "locale-archive").is_file()
    assert tree.sh("baseStripLocales fr; localedef --list-archive")[-1] == "fr_FR.utf8"
    tree.sh("baseStripLocales")
    assert not (subtree / "locale-archive").exists()


def test_locales_that_locale_gen_makes(tree: Tree) -> None:
    tree.write("/usr/lib/locale/locale-archive", "old")
    tree.write(
        "/usr/bin/locale-gen", "#!/bin/bash\necho new >/usr/lib/locale/locale-archive\n", 0o755
    )
    tree.write("/etc/locale.gen", "# C.UTF-8 UTF-8\nde_DE.UTF-8 UTF-8\nfr_FR.UTF-8 UTF-8\n")
    tree.sh("baseStripLocales fr_FR.UTF-8")
    assert tree.read("/etc/locale.gen") == (
        "# C.UTF-8 UTF-8\n# de_DE.UTF-8 UTF-8\nfr_FR.UTF-8 UTF-8\n"
    )
    assert tree.read("/usr/lib/locale/locale-archive") == "new\n"


def test_translations(tree: Tree) -> None:
    for language in ("de", "de_AT", "en@quot", "fr", "pt_BR"):
        for domain in ("bash", "desktop"):
            tree.write(f"/usr/share/locale/{language}/LC_MESSAGES/{domain}.mo")
    tree.write("/usr/share/locale/fr/LC_MESSAGES/kiwi.mo")
    tree.write("/usr/share/locale/locale.alias")
    tree.sh("baseStripTranslations de_DE.UTF-8 en kiwi.mo pt")
    assert tree.files("/usr/share/locale") == {
        "locale.alias",
        "fr/LC_MESSAGES/kiwi.mo",
        *(
            f"{language}/LC_MESSAGES/{domain}.mo"
            for language in ("de", "en@quot", "pt_BR")
            for domain in ("bash", "desktop")
        ),
    }


def test_manuals_and_infos(tree: Tree) -> None:
    for name in ("man1/bash.1.gz", "man1/ls.1.gz", "de/man1/ls.1.gz"):
        tree.write(f"/usr/share/man/{name}")
    tree.write("/var/cache/man/index.db")
    tree.write("/usr/share/info/sed.info.gz")
    tree.write("/usr/share/info/dir")
    tree.sh("baseStripMans bash; baseStripInfos dir")
    assert tree.files("/usr/share/man") == {"man1/bash.1.gz"}
    assert not tree.files("/var/cache/man")
    assert tree.files("/usr/share/info") == {"dir"}
    assert not tree.has("/usr/share/man/de")


def test_documentation_but_for_licences(tree: Tree) -> None:
    for name in ("a/copyright", "a/README", "a/examples/x", "b/COPYING", "c/NEWS.gz", "d/x"):
        tree.write(f"/usr/share/doc/{name}")
    (tree.root / "usr/share/doc/a2").symlink_to("a")
    (tree.root / "usr/share/doc/a/link").symlink_to("README")
    tree.write("/usr/share/doc/packages/p/LICENSE.txt")
    tree.sh("baseStripDocs '^d/'")
    assert tree.files("/usr/share/doc") == {
        "a/copyright",
        "a2",
        "b/COPYING",
        "d/x",
        "packages/p/LICENSE.txt",
    }


def test_tools(tree: Tree) -> None:
    tree.write("/opt/bin/keep")
    tree.write("/opt/bin/drop")
    tree.write("/opt/bin/sub/drop two")
    (tree.root / "opt/bin/dir").symlink_to("sub")
    tree.sh("baseStripTools /opt/bin 'keep other'; baseStripTools /opt/none x; baseStripTools / x")
    assert tree.files("/opt/bin") == {"keep", "dir"}
    assert tree.has("/usr/bin/bash")


def test_initrd(tree: Tree) -> None:
    variables = {"kiwi_strip_tools": "bash cat", "kiwi_initrd_system": "kiwi"}
    assert "nothing to strip" in tree.sh("baseStripInitrd ls", kiwi_initrd_system="dracut")[0]
    assert "so all are" in tree.sh("suseStripInitrd", kiwi_initrd_system="kiwi")[0]
    tree.sh("suseStripInitrd ls", **variables)
    assert tree.files("/usr/bin") == {"bash", "cat", "ls"}
    assert tree.script("ls /usr/bin") == ["bash", "cat", "ls"]


def _library(root: Path, name: str, directory: str = "usr/lib") -> None:
    """A copy of a library under another name, which nothing is linked to."""
    (source,) = [path for path in root.glob("usr/lib/*/libselinux.so.1") if path.is_file()]
    place = root / directory / name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(source.read_bytes())
    place.chmod(0o755)


def test_libraries(tree: Tree) -> None:
    for name in ("libunused.so.1.2", "libkept.so.3", "libnamed.so", "libnss_x.so.2"):
        _library(tree.root, name)
    (tree.root / "usr/lib/libunused.so.1").symlink_to("libunused.so.1.2")
    tree.write("/usr/lib/libtool/libfoo.so", "not in a directory of the linker")
    tree.write("/usr/lib/libstatic.a")
    before = tree.files("/usr/lib")
    lines = tree.sh("baseStripUnusedLibs libkept", kiwi_strip_libs="libnamed")
    after = tree.files("/usr/lib")
    gone = {name for name in before - after if "ld.so" not in name}
    assert gone == {"libunused.so.1.2", "libunused.so.1"}
    assert "rm -f -- /usr/lib/libunused.so.1.2" in lines
    # What runs in the tree still does.
    tree.sh("ls -l / >/dev/null; systemctl --version >/dev/null; rpm --version >/dev/null")

    programs = tree.root / "usr/bin"
    needed = "bash cat find ldconfig ldd realpath rm sed sort xargs"
    for path in programs.iterdir():
        if path.name not in needed.split():
            path.unlink()
    shutil.rmtree(tree.root / "usr/lib/rpm")
    _library(tree.root, "plugin.so", "usr/lib/app")
    tree.sh("baseStripUnusedLibs")
    left = {Path(name).name for name in tree.files("/usr/lib")}
    assert "libc.so.6" in left
    assert any(name.startswith("libpcre2") for name in left), "the plug-in needs it"
    assert not any(name.startswith("librpm") for name in left), "nothing needs it any more"


def test_libraries_without_ldd(tree: Tree) -> None:
    (tree.root / "usr/bin/ldd").unlink()
    before = tree.files("/usr")
    assert "nothing is removed" in tree.sh("baseStripUnusedLibs")[0]
    assert tree.files("/usr") == before
