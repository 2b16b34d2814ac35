"""Console keymaps and their XKB layouts; ``xkbcli`` of libxkbcommon says which layouts exist."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from kiwinb.errors import ImageError
from kiwinb.prepare.identity import SetIdentity
from kiwinb.prepare.keyboard import XkbLayout, find_layout, is_known, known_keymaps
from kiwinb.prepare.variables import set_variables
from kiwinb.steps.step import HostPaths, StepContext

ROOT = Path("/")
MODEL_MAP = Path("usr/share/systemd/kbd-model-map")
RULES = Path("usr/share/X11/xkb/rules/base.lst")


def _compiles(layout: XkbLayout) -> bool:
    """Tell whether XKB makes a keyboard of a layout."""
    argv = ["xkbcli", "compile-keymap", "--model", layout.model, "--layout", layout.layout]
    done = subprocess.run(
        [*argv, "--variant", layout.variant, "--options", layout.options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=False,
    )
    return done.returncode == 0


@pytest.mark.needs("xkbcli")
def test_the_layout_of_each_known_keymap_exists() -> None:
    layouts = {keymap: find_layout(ROOT, keymap) for keymap in known_keymaps()}
    assert len(layouts) > 300
    found = {layout: keymap for keymap, layout in layouts.items() if layout is not None}
    assert len(set(layouts.values())) == len(found)
    assert [keymap for layout, keymap in found.items() if not _compiles(layout)] == []
    assert not _compiles(XkbLayout("pc105", "uk", ""))


def _tree_with(root: Path, *names: Path) -> None:
    """Copy files of this host into a tree."""
    for name in names:
        (root / name).parent.mkdir(parents=True)
        shutil.copy(ROOT / name, root / name)


@pytest.mark.needs("systemctl", "xkbcli")  # their packages have the tables
def test_with_and_without_the_tables_of_the_tree_the_layouts_are_the_same(tmp_path: Path) -> None:
    (tmp_path / "with").mkdir()
    (tmp_path / "without").mkdir()
    _tree_with(tmp_path / "with", MODEL_MAP, RULES)
    for keymap in known_keymaps():
        with_them = find_layout(tmp_path / "with", keymap)
        without = find_layout(tmp_path / "without", keymap)
        assert with_them is not None
        assert without is not None
        assert with_them == without or with_them.variant == OLDER.get(without.variant), keymap
    rows = [line.split() for line in (ROOT / MODEL_MAP).read_text().splitlines()]
    assert {row[0] for row in rows if row and row[0] != "#"} <= known_keymaps()


OLDER = {
    "colemak_dh_ortho": "colemak_dh",
    "colemak_dh_wide": "colemak_dh",
    "colemak_dh_wide_iso": "colemak_dh_iso",
}
"""Variants that only newer releases of XKB have, and those that earlier releases have instead."""


@pytest.mark.parametrize(
    ("keymap", "model", "layout", "variant"),
    [
        ("uk", "pc105", "gb", ""),
        ("gb-intl", "pc105", "gb", "intl"),
        ("us", "pc105+inet", "us", ""),
        ("de-latin1-nodeadkeys", "pc105", "de", "nodeadkeys"),
        ("jp106", "jp106", "jp", ""),
        ("br-abnt2", "abnt2", "br", ""),
        ("ru", "pc105", "ru,us", ""),
        ("cz-qwerty", "pc105", "cz,us", "qwerty,"),
        ("bg_pho-utf8", "pc105", "bg,us", "phonetic,"),
        ("sk-qwerty", "pc105", "sk", "qwerty"),
    ],
)
def test_layouts(keymap: str, model: str, layout: str, variant: str, tmp_path: Path) -> None:
    assert find_layout(tmp_path, keymap) == XkbLayout(model, layout, variant)


def test_the_tree_can_know_more_keymaps(tmp_path: Path) -> None:
    (tmp_path / MODEL_MAP).parent.mkdir(parents=True)
    (tmp_path / RULES).parent.mkdir(parents=True)
    (tmp_path / MODEL_MAP).write_text(
        "# consolelayout xlayout xmodel xvariant xoptions bcp47\n\n"
        "typo\tus\tpc105\tqwertz\t-\n"
        "mars\tma,us\tpc104\trover,\tterminate:ctrl_alt_bksp\t-\n"
    )
    (tmp_path / RULES).write_text(
        "! model\n  pc105  PC\n\n! layout\n  us  English\n  ma  Martian\n  gb  English\n\n"
        "! variant\n  rover  ma: Martian (rover)\n  tele  ma: Martian\n\n! option\n  grp  Switch\n"
    )
    assert not is_known("mars")
    assert find_layout(tmp_path, "mars") == XkbLayout("pc104", "ma,us", "rover,")
    assert find_layout(tmp_path, "ma-tele") == XkbLayout("pc105", "ma", "tele")
    assert find_layout(tmp_path, "uk") == XkbLayout("pc105", "gb", "")
    with pytest.raises(ImageError, match="there is no keymap typo"):
        find_layout(tmp_path, "typo")  # this XKB has no us(qwertz)
    with pytest.raises(ImageError, match="Did you mean mars"):
        find_layout(tmp_path, "marz")
    for name in ("own.kmap.gz", "plain.map", "directory.map/file"):
        file = tmp_path / "usr/share/keymaps/i386" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    assert (find_layout(tmp_path, "own"), find_layout(tmp_path, "plain")) == (None, None)
    with pytest.raises(ImageError, match="there is no keymap directory"):
        find_layout(tmp_path, "directory")


def test_a_wrong_name_names_near_ones(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"Did you mean de-latin1, .*Name a console keymap"):
        find_layout(tmp_path, "de-latin")


def test_variables_are_set_and_other_lines_kept(tmp_path: Path) -> None:
    file = tmp_path / "keyboard"
    file.write_bytes(b"# \xff kept\nXKBLAYOUT=us\n XKBMODEL = no\nBACKSPACE=guess")
    set_variables(tmp_path, file.name, {"XKBLAYOUT": "gb", "XKBVARIANT": ""})
    kept = b"# \xff kept\n XKBMODEL = no\nBACKSPACE=guess\n"
    assert file.read_bytes() == kept + b'XKBLAYOUT="gb"\nXKBVARIANT=""\n'


def _set(root: Path, keytable: str) -> list[str]:
    lines: list[str] = []
    hosts = HostPaths(root)
    SetIdentity("image", keytable=keytable).run(
        StepContext(root, None, {}, hosts, lines.append, lambda fraction: None, rootless=False)
    )
    return lines


XKB = 'XKBMODEL="pc105"\nXKBLAYOUT="gb"\nXKBVARIANT=""\nXKBOPTIONS="terminate:ctrl_alt_bksp"\n'


def test_the_files_of_systemd_and_of_debian_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "etc/default").mkdir(parents=True)
    (tmp_path / "etc/vconsole.conf").write_text("FONT=Lat15-Terminus16\nKEYMAP=us\n")
    (tmp_path / "etc/default/keyboard").write_text('XKBLAYOUT=us\nBACKSPACE="guess"\n')
    assert _set(tmp_path, "uk.map.gz") == []
    console = 'FONT=Lat15-Terminus16\nKEYMAP="uk"\n'
    assert (tmp_path / "etc/vconsole.conf").read_text() == console + XKB
    assert (tmp_path / "etc/default/keyboard").read_text() == 'BACKSPACE="guess"\n' + XKB


def test_one_file_can_be_a_link_to_the_other(tmp_path: Path) -> None:
    """Debian 13 has it so."""
    (tmp_path / "etc/default").mkdir(parents=True)
    (tmp_path / "etc/vconsole.conf").symlink_to("default/keyboard")
    _set(tmp_path, "uk")
    assert (tmp_path / "etc/default/keyboard").read_text() == 'KEYMAP="uk"\n' + XKB


def test_a_keymap_of_the_tree_is_set_for_the_console_alone(tmp_path: Path) -> None:
    (tmp_path / "etc/default").mkdir(parents=True)
    (tmp_path / "usr/share/keymaps").mkdir(parents=True)
    (tmp_path / "usr/share/keymaps/own.kmap").touch()
    assert len(_set(tmp_path, "own")) == 1
    assert (tmp_path / "etc/vconsole.conf").read_text() == 'KEYMAP="own"\n'
    assert not (tmp_path / "etc/default/keyboard").exists()
