"""The list of shell functions, and what is said of them."""

from __future__ import annotations

import re
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path

import pytest
from shell_tree import Tree

from kiwinb.errors import CommandError
from kiwinb.prepare.shell import PARTS, functions_text

# As KIWI NG's documentation and its file of functions name them.
_NAMES = """
    Debug Echo Rm Rpm baseCleanMount baseCleanup baseCreateKernelTree
    baseFixupKernelModuleDependencies baseGetPackagesForDeletion baseGetProfilesUsed
    baseInsertService baseKernelDriverMatches baseMount baseQuoteFile baseRemoveService baseService
    baseSetRunlevel baseSetupBuildDay baseSetupUserPermissions baseStripAndKeep baseStripDocs
    baseStripFirmware baseStripInfos baseStripInitrd baseStripKernel baseStripKernelModules
    baseStripLocales baseStripMans baseStripModules baseStripTools baseStripTranslations
    baseStripUnusedLibs baseSyncKernelTree baseSysVServiceInstalled baseSystemdCall
    baseSystemdServiceInstalled baseUpdateModuleDependencies baseUpdateSysConfig baseVagrantSetup
    debianStripInitrd debianStripKernel deprecated mountCgroups mountProc rhelSplashToGrub
    rhelStripInitrd rhelStripKernel setupContainerRuntime suseActivateDefaultServices suseCleanup
    suseConfig suseImportBuildKey suseInsertService suseRemoveService suseRemoveYaST suseService
    suseSetupProduct suseSetupProductInformation suseStripInitrd suseStripKernel umountCgroups
"""
NAMES = set(_NAMES.split())
_OBSOLETE = """
    Rpm baseCleanMount baseCleanup baseMount baseSetupUserPermissions debianStripInitrd
    debianStripKernel rhelSplashToGrub rhelStripInitrd rhelStripKernel suseActivateDefaultServices
    suseCleanup suseConfig suseRemoveYaST suseSetupProductInformation
"""
OBSOLETE = _OBSOLETE.split()


def test_all_functions_are_there() -> None:
    text = functions_text() + "\ndeclare -F\n"
    done = subprocess.run(["bash"], input=text, capture_output=True, text=True, check=True)
    defined = {line.split()[-1] for line in done.stdout.splitlines()}
    assert {name for name in defined if not name.startswith("_kiwinb_")} == NAMES


def test_all_files_are_read() -> None:
    here = {path.name for path in files("kiwinb.prepare.shell").iterdir()}
    assert {name for name in here if name.endswith(".sh")} == set(PARTS)


def test_all_functions_are_documented_and_tested() -> None:
    folder = Path(__file__).parent
    tests = "".join(path.read_text() for path in folder.glob("test_shell_*.py")).replace(_NAMES, "")
    document = (folder.parents[1] / "docs/shell-functions.md").read_text()
    for name in NAMES:
        assert re.search(rf"\b{name}\b", tests), name
        assert re.search(rf"`{name}\b", document), name


@pytest.mark.needs("shellcheck")
def test_shellcheck_has_nothing_to_say() -> None:
    done = subprocess.run(
        ["shellcheck", "--shell=bash", "-"], input=functions_text(), text=True, capture_output=True
    )
    assert (done.stdout, done.returncode) == ("", 0)


@pytest.mark.parametrize("shell", [pytest.param("dash", marks=pytest.mark.needs("dash")), "sh"])
def test_other_shells_are_told_apart(shell: str, tmp_path: Path) -> None:
    if "bash" in str(Path(shutil.which(shell) or "").resolve()):
        pytest.skip(f"{shell} is bash on this machine")
    (tmp_path / "kconfig").write_text(functions_text())
    done = subprocess.run([shell, tmp_path / "kconfig"], capture_output=True, text=True)
    assert done.returncode == 1
    assert "needs bash" in done.stderr


def test_obsolete_functions_do_nothing_and_say_so(tree: Tree) -> None:
    before = tree.files("/")
    lines = tree.sh("\n".join(f"{name} argument" for name in OBSOLETE))
    assert [line.partition(" does nothing: ")[0] for line in lines] == OBSOLETE
    assert all(line.partition(": ")[2] for line in lines)
    assert tree.files("/") == before


def test_deprecated_gives_the_reason(tree: Tree) -> None:
    assert tree.sh("deprecated mine <<<'it was a mistake'") == [
        "mine does nothing: it was a mistake"
    ]


def test_variables_in_place_of_obsolete_functions(tree: Tree) -> None:
    lines = tree.sh(
        'echo "[$(baseGetPackagesForDeletion 2>/dev/null)] [$(baseGetProfilesUsed 2>/dev/null)]"',
        kiwi_delete="a b",
        kiwi_profiles="x,y",
    )
    assert lines == ["[a b] [x,y]"]


def test_messages(tree: Tree) -> None:
    assert tree.sh("Echo one; Echo -b two words; Echo -n three; Echo -e 'a\\tb'; Debug no") == [
        "==> one",
        "    two words",
        "==> three==> a\tb",
    ]
    assert tree.sh("f() { Debug yes; }; DEBUG=1; f") == ["debug: f: yes"]


def test_rm_is_logged(tree: Tree) -> None:
    tree.write("/srv/a b")
    assert tree.sh("Rm -f '/srv/a b'") == ["rm -f /srv/a b"]
    assert not tree.has("/srv/a b")


def test_no_function_deletes_on_the_host(tmp_path: Path) -> None:
    """Called outside of a root tree, with stand-ins for all that could delete."""
    script = functions_text() + (
        "rm() { echo DELETED; }; xargs() { echo DELETED; }; find() { echo DELETED; }\n"
        "mv() { echo DELETED; }; cp() { echo DELETED; }\n"
        "kiwi_strip_delete=tmp kiwi_strip_tools=bash kiwi_strip_libs=libc kiwi_drivers=x\n"
    )
    for name in sorted(NAMES):
        if "Strip" in name and not name.startswith(("rhel", "debian")):
            script += f"{name} /usr/bin x </dev/null || echo refused\n"
    script += "baseCreateKernelTree || echo refused; baseSyncKernelTree || echo refused\n"
    script += "baseFixupKernelModuleDependencies || echo refused\n"
    done = subprocess.run(
        ["bash"], input=script, capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert set(done.stdout.split()) == {"refused"}
    assert "not the root tree" in done.stderr


def test_mounts(tree: Tree) -> None:
    lines = tree.sh("set -e; mountProc; test -e /proc/self; mountCgroups; umountCgroups; echo end")
    assert lines == ["mountCgroups: scripts have no control groups; nothing is done", "end"]


def test_container_runtime(tree: Tree) -> None:
    tree.sh("setupContainerRuntime")
    assert 'driver = "vfs"' in tree.read("/etc/containers/storage.conf")
    engine = tree.read("/etc/containers/containers.conf").splitlines()
    assert engine[0] == "[engine]"
    assert "no_pivot_root = true" in engine


def test_strict_scripts_may_use_them(tree: Tree) -> None:
    """With all options that scripts set to be strict."""
    lines = tree.script(
        "set -euo pipefail\n. /.kconfig\nbaseStripMans\nbaseStripDocs\nbaseStripInfos\n"
        "baseStripTranslations\nbaseStripLocales\nbaseStripFirmware\nbaseStripModules\n"
        "suseSetupProduct\nsuseImportBuildKey\nbaseInsertService none\nbaseStripKernel\n"
        "baseUpdateModuleDependencies\nbaseStripInitrd\nbaseUpdateSysConfig /none A b\necho end\n"
    )
    assert lines[-1] == "end"


def test_failure_of_a_script_shows_the_end_of_its_output(tree: Tree) -> None:
    with pytest.raises(CommandError, match=r"config\.sh failed.*status 3") as caught:
        tree.sh("echo before; exit 3")
    assert caught.value.tail == ("before",)
    assert str(tree.root.parent / "config.sh") in str(caught.value)
