"""Programs of other architectures: what marks them, and where they run."""

from __future__ import annotations

import errno
import os
import tempfile
from contextlib import closing
from pathlib import Path

import pytest

from kiwinb.errors import HostError
from kiwinb.sandbox import foreign
from kiwinb.sandbox.foreign import (
    emulation,
    emulator_for,
    emulator_for_tree,
    host_runs,
    missing_emulator,
    try_architecture,
    try_program,
)
from kiwinb.sandbox.machines import EMULATORS, MACHINES, matches, needs_libraries
from kiwinb.sandbox.worker import Report, call


def _elsewhere(arch: str) -> foreign.Emulator:
    """The emulator on a host on which everything is foreign."""
    found = emulator_for(arch, host_arch="none")
    assert found is not None
    return found


@pytest.mark.parametrize("arch", MACHINES)
def test_a_program_is_marked_as_its_architecture_says(arch: str) -> None:
    machine = MACHINES[arch]
    start = machine.trial_program()[:20]
    assert matches(start, machine.magic, machine.mask)
    others = [item for item in MACHINES.values() if item.emulator != machine.emulator]
    assert not any(matches(start, item.magic, item.mask) for item in others)


def test_position_independent_programs_are_recognised() -> None:
    machine = MACHINES["aarch64"]
    start = bytearray(machine.magic)
    start[16] = 3  # ET_DYN
    start[7] = 3  # ELFOSABI_LINUX
    assert matches(bytes(start), machine.magic, machine.mask)


def test_the_host_needs_no_emulator_for_its_own_programs() -> None:
    assert emulator_for("x86_64", "x86_64") is None
    assert emulator_for("i686", "x86_64") is None
    assert emulator_for("aarch64", "aarch64") is None
    assert emulator_for("i686", "aarch64") is not None


def test_an_architecture_that_nothing_emulates() -> None:
    with pytest.raises(HostError, match="sparc64 cannot be run") as caught:
        emulator_for("sparc64", "x86_64")
    assert "Build on a host with the architecture sparc64" in str(caught.value)


def test_the_tree_says_what_it_needs(tmp_path: Path) -> None:
    assert emulator_for_tree(tmp_path) is None
    program = tmp_path / "usr/bin/dpkg"
    program.parent.mkdir(parents=True)
    arch = "s390x" if os.uname().machine != "s390x" else "aarch64"
    program.write_bytes(MACHINES[arch].trial_program())
    found = emulator_for_tree(tmp_path)
    assert found is not None and found.arch == arch


@pytest.mark.parametrize(
    ("change", "runs"),
    [
        ({}, True),
        ({"enabled": "disabled"}, False),
        ({"flags: F": "flags: PC"}, False),
        ({"offset 0": "offset 4"}, False),
        ({"interpreter": "interpreted"}, True),
        ({MACHINES["aarch64"].magic.hex(): MACHINES["s390x"].magic.hex()}, False),
    ],
)
def test_what_the_host_has_registered(change: dict[str, str], runs: bool, tmp_path: Path) -> None:
    machine = MACHINES["aarch64"]
    entry = (
        "enabled\ninterpreter /usr/bin/qemu-aarch64-static\nflags: F\noffset 0\n"
        f"magic {machine.magic.hex()}\nmask {machine.mask.hex()}\n"
    )
    for old, new in change.items():
        entry = entry.replace(old, new, 1)
    (tmp_path / "status").write_text("enabled\n")
    (tmp_path / "register").touch()
    (tmp_path / "qemu-aarch64").write_text(entry)
    assert host_runs("aarch64", tmp_path) is runs


def test_nothing_is_registered_where_binfmt_misc_is_off(tmp_path: Path) -> None:
    assert not host_runs("aarch64", tmp_path)
    (tmp_path / "status").write_text("disabled\n")
    assert not host_runs("aarch64", tmp_path)


def test_a_missing_emulator_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(foreign, "search_path", lambda: str(tmp_path))
    arch = "s390x"
    found = missing_emulator(arch)
    assert found is not None and found.arch == arch
    with pytest.raises(HostError, match="qemu-s390x-static") as caught:
        found.find()
    assert "apt-get install qemu-user-static" in str(caught.value)
    dynamic = tmp_path / "qemu-s390x-static"
    dynamic.write_bytes(Path("/bin/sh").read_bytes())
    dynamic.chmod(0o755)
    assert needs_libraries(dynamic)
    assert missing_emulator(arch) is not None


@pytest.mark.needs(*sorted(name for name in EMULATORS if name.endswith("-static")))
def test_programs_of_every_foreign_architecture_run_and_nothing_is_left() -> None:
    foreign_here = [arch for arch in MACHINES if emulator_for(arch) is not None]
    assert call(_run_all, foreign_here) == dict.fromkeys(foreign_here, (True, False))


def _run_all(archs: list[str], _report: Report) -> dict[str, tuple[bool, bool]]:
    """In a worker: by architecture, whether it runs in the namespace, and whether after it."""
    found = {}
    for arch in archs:
        emulator = _elsewhere(arch)
        with tempfile.TemporaryDirectory() as scratch:
            place = Path(scratch)
            native = try_program(emulator, place)  # the host's own
            with closing(emulation(emulator)) as namespace:
                inside = try_program(emulator, place, namespace)
            found[arch] = (inside, try_program(emulator, place) and not native)
            assert not any(place.iterdir())
    return found


@pytest.mark.needs("qemu-aarch64-static", "qemu-x86_64-static")
@pytest.mark.parametrize(
    ("code", "said"), [(errno.EPERM, "Linux 6.7 or newer"), (errno.ENODEV, "No such device")]
)
def test_a_host_that_allows_no_registration(code: int, said: str) -> None:
    with pytest.raises(HostError, match=said) as caught:
        call(_refuse, code)
    assert "binfmt_misc" in str(caught.value)


def _refuse(code: int, _report: Report) -> None:
    def refuse(rule: bytes, place: Path) -> None:
        raise OSError(code, os.strerror(code))

    foreign.register_privately = refuse
    with closing(emulation(_elsewhere("aarch64"))):
        pass


def test_the_hosts_own_architecture_always_runs() -> None:
    assert try_architecture(os.uname().machine) is None


def test_an_architecture_that_does_not_run() -> None:
    error = try_architecture("sparc64")
    assert error is not None and "sparc64" in error.problem
