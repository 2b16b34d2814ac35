"""No file of a tree leads to the host, whichever file of the tree is a link."""

from __future__ import annotations

import gzip
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from descriptions import document
from test_bootloader_grub import setup

from kiwinb.bootloader.configure import write_fstab
from kiwinb.bootloader.grub2.loader import Grub2
from kiwinb.bootloader.systemd_boot import SystemdBoot
from kiwinb.bootloader.target import BootFacts, BootTarget, CoreRoom
from kiwinb.description.select import select
from kiwinb.distributions import release_id
from kiwinb.distributions.debian import DEBIAN
from kiwinb.errors import ImageError, KiwinbError
from kiwinb.packages.apt.changes import changes
from kiwinb.prepare.host_keys import ensure_host_keys
from kiwinb.prepare.identity import SetIdentity
from kiwinb.sandbox.tree_files import copy_out, names_in, read_in, read_text_in, write_in
from kiwinb.steps.step import HostPaths, StepContext
from kiwinb.storage.layout import lay_out

CANARY = b'ID=debian\nNAME="a secret of the host"\n'
SYSTEMD = "usr/lib/systemd/boot/efi"


def _tree(root: Path, modules: Path) -> None:
    """A tree with what the steps look for."""
    files: dict[str, str | bytes] = {
        "boot/vmlinuz-6.1.0-1": b"kernel",
        "boot/initrd.img-6.1.0-1": b"initrd",
        "etc/default/grub": "GRUB_TIMEOUT=9\n",
        "etc/default/keyboard": "XKBLAYOUT=us\n",
        "etc/fstab": "# none\n",
        "etc/fstab.append": "# more\n",
        "etc/hostname": "",
        "etc/os-release": "ID=debian\n",
        "etc/vconsole.conf": "KEYMAP=us\n",
        "usr/bin/ssh-keygen": b"",
        "usr/lib/shim/shimx64.efi.signed": b"shim",
        "usr/lib/shim/mmx64.efi.signed": b"manager",
        "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed": b"grub",
        "usr/lib/systemd/systemd": b"",
        "usr/lib/systemd/system/ssh.service": "[Service]\n",
        f"{SYSTEMD}/systemd-bootx64.efi": b"systemd-boot",
        "usr/sbin/sshd": b"",
        "usr/share/doc/a/changelog.Debian.gz": gzip.compress(b"a (1) sid; urgency=low\n"),
        "usr/share/doc/b/changelog.gz": gzip.compress(b"b (1) sid; urgency=low\n"),
        "usr/share/grub/unicode.pf2": b"font",
        "usr/share/zoneinfo/Europe/Berlin": b"TZif",
    }
    for name, content in files.items():
        write_in(root, name, content)
    for platform in ("i386-pc", "x86_64-efi"):
        shutil.copytree(modules, root / "usr/lib/grub" / platform)


def _target(directory: Path) -> BootTarget:
    directory.mkdir()
    return replace(setup(directory, 'filesystem="ext4" firmware="uefi"'), efi=True)


def _context(root: Path, out: Path) -> StepContext:
    hosts = HostPaths(root)
    return StepContext(root, out, {}, hosts, lambda line: None, lambda part: None, rootless=False)


def _boot(loader: Grub2 | SystemdBoot, target: BootTarget, context: StepContext) -> None:
    loader.configure(context, target)
    esp = context.output() / "esp"
    (esp / "EFI/BOOT").mkdir(parents=True)
    loader.finalise(context, target, BootFacts({}), esp)


def _grub_bios(context: StepContext, target: BootTarget) -> None:
    _boot(Grub2(), replace(target, efi=False, core=CoreRoom(2048, 4096)), context)


def _grub_signed(context: StepContext, target: BootTarget) -> None:
    _boot(Grub2(), replace(target, secure=True), context)


def _systemd_boot(context: StepContext, target: BootTarget) -> None:
    _boot(SystemdBoot(), target, context)


def _identity(context: StepContext, target: BootTarget) -> None:
    SetIdentity("image", "1", ("de_DE",), "de", "Europe/Berlin").run(context)


def _texts(context: StepContext, target: BootTarget) -> None:
    ensure_host_keys(context.root, context.log)
    (context.output() / "changes").write_text(changes(context.root))


STEPS: Mapping[str, Callable[[StepContext, BootTarget], None]] = {
    "GRUB for BIOS": _grub_bios,
    "GRUB with secure boot": _grub_signed,
    "systemd-boot": _systemd_boot,
    "identity": _identity,
    "host keys and changes": _texts,
}

MODULES = """
    at_keyboard.mod biosdisk.mod boot.img boot.mod bufio.mod cat.mod command.lst crypto.lst
    crypto.mod diskboot.img extcmd.mod ext2.mod fs.lst fshelp.mod gettext.mod kernel.img
    lzma_decompress.img moddep.lst part_gpt.mod part_msdos.mod search_fs_uuid.mod terminal.mod
"""


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("grub") / "modules"
    directory.mkdir()
    library = Path("/usr/lib/grub/i386-pc")
    for name in MODULES.split():
        if (library / name).exists():
            shutil.copy(library / name, directory / name)
    return directory


def _content(*tops: Path) -> Iterator[bytes]:
    for top in tops:
        for folder, _names, files in os.walk(top):
            for name in files:
                path = Path(folder, name)
                if not path.is_symlink():
                    yield path.read_bytes()


@pytest.mark.needs("grub-mkimage")
@pytest.mark.parametrize("name", STEPS)
def test_whichever_file_is_a_link(name: str, modules: Path, tmp_path: Path) -> None:
    """Each file that the tree has before or after the step, in turn, is a link to the host."""
    root, out, host = tmp_path / "root", tmp_path / "out", tmp_path / "host"
    target = _target(tmp_path / "description")
    _tree(root, modules)
    out.mkdir()
    STEPS[name](_context(root, out), target)
    paths = [path.relative_to(root) for path in root.rglob("*") if path.is_file()]
    assert len(paths) > 40
    host.write_bytes(CANARY)
    for path in paths:
        shutil.rmtree(root)
        shutil.rmtree(out)
        out.mkdir()
        _tree(root, modules)
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).unlink(missing_ok=True)
        (root / path).symlink_to(host)
        with suppress(KiwinbError, OSError):
            STEPS[name](_context(root, out), target)
        assert host.read_bytes() == CANARY, path
        assert not any(b"a secret of the host" in data for data in _content(root, out)), path


def test_the_test_finds_what_follows_links(tmp_path: Path) -> None:
    (tmp_path / "host").write_bytes(CANARY)
    (tmp_path / "root").mkdir()
    (tmp_path / "root/link").symlink_to(tmp_path / "host")
    assert not any(CANARY in data for data in _content(tmp_path / "root"))
    shutil.copyfile(tmp_path / "root/link", tmp_path / "root/file")
    assert any(CANARY in data for data in _content(tmp_path / "root"))


PATCH = """\
--- a/etc/fstab
+++ b/etc/fstab
@@ -1,1 +1,2 @@
 # first
+# patched
"""


@pytest.mark.needs("patch", "ed", "bwrap")
@pytest.mark.parametrize("has_commands", [False, True])
def test_a_patch_of_fstab(has_commands: bool, tmp_path: Path) -> None:
    """GNU patch gives scripts of ed to ed, in which ``!`` runs a command."""
    root, mark = tmp_path / "root", tmp_path / "mark"
    preferences = (
        '<preferences><version>1.0.0</version><type image="oem" filesystem="ext4"/></preferences>'
    )
    layout = lay_out(select(document(tmp_path, preferences=preferences), arch="x86_64"))
    write_in(root, "etc/fstab.append", "# first\n")
    commands = f"1a\n# patched\n.\n!touch {mark}\nw\n"
    write_in(root, "etc/fstab.patch", commands if has_commands else PATCH)
    with suppress(KiwinbError) if has_commands else nullcontext():
        write_fstab(_context(root, tmp_path), layout, None)
    assert not mark.exists()
    if not has_commands:
        assert read_text_in(root, "etc/fstab").endswith("# first\n# patched\n")
        assert names_in(root, "etc") == ["fstab"]


def test_files_of_a_tree(tmp_path: Path) -> None:
    write_in(tmp_path, "/a/b", "text", mode=0o600)
    (tmp_path / "absolute").symlink_to("/a/b")
    (tmp_path / "up").symlink_to("../../../../a/b")
    assert read_in(tmp_path, "absolute") == read_in(tmp_path, "up") == b"text"
    assert (tmp_path / "a/b").stat().st_mode & 0o777 == 0o600
    write_in(tmp_path, "absolute", b"more")
    assert (tmp_path / "a/b").read_bytes() == b"more"
    assert (tmp_path / "a/b").stat().st_mode & 0o777 == 0o600
    assert read_text_in(tmp_path, "none") == ""
    assert names_in(tmp_path, "/") == ["a", "absolute", "up"]
    assert names_in(tmp_path, "none") == []
    copy_out(tmp_path, "up", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"more"
    with pytest.raises(FileNotFoundError):
        read_in(tmp_path, "none")


@pytest.mark.timeout(10)
@pytest.mark.parametrize("kind", ["pipe", "directory"])
def test_what_is_no_file_is_refused(kind: str, tmp_path: Path) -> None:
    place = tmp_path / "it"
    os.mkfifo(place) if kind == "pipe" else place.mkdir()
    with pytest.raises(ImageError, match="/it in the root tree is not a file"):
        read_in(tmp_path, "it")
    with pytest.raises(ImageError, match="/it in the root tree is not a file"):
        write_in(tmp_path, "it", "x")


@pytest.mark.parametrize("said", ["../../etc", "a/b", "", "A B"])
def test_an_id_cannot_lead_out_of_the_system_partition(said: str, tmp_path: Path) -> None:
    write_in(tmp_path, "etc/os-release", f'ID="{said}"\n')
    with pytest.raises(ImageError, match="the ID in os-release"):
        release_id(tmp_path, DEBIAN)
