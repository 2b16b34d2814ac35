"""Run programs of a root tree for a foreign architecture, with QEMU's user mode emulation.

The kernel passes programs for a foreign architecture to an emulator that is registered with
binfmt_misc; see the kernel's Documentation/admin-guide/binfmt-misc.rst. If the host has registered
one with the flag F, which opens the emulator at registration, it works in every root tree.
Otherwise, from Linux 6.7 on, a user namespace can have its own registration, which does not change
the host and disappears with the namespace.
"""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from kiwinb.errors import HostError
from kiwinb.sandbox.inner import InnerNamespace, make_inner_namespace
from kiwinb.sandbox.machines import MACHINES, Machine, matches, needs_libraries
from kiwinb.sandbox.mounts import is_denied, mount
from kiwinb.sandbox.paths import resolve_in
from kiwinb.sandbox.tools import TOOLS, search_path
from kiwinb.sandbox.worker import Report, call

BINFMT_MISC = Path("/proc/sys/fs/binfmt_misc")
"""Mount point of the host's registrations."""

_FLAGS = "FPC"
"""Open the emulator at registration (F), pass on ``argv[0]`` (P), respect set-user-ID bits (C)."""

_PROGRAMS_OF_TREES = ("/usr/bin/dpkg", "/usr/bin/rpm", "/bin/sh", "/usr/bin/env")

_ALSO_RUN = {"x86_64": frozenset({"i586", "i686"}), "armv7l": frozenset({"armv6l"})}
"""Other architectures whose programs the kernel of a host executes itself, by architecture."""


@dataclass(frozen=True)
class Emulator:
    """An emulator for programs of a foreign architecture.

    Attributes:
        arch: Architecture of the programs, as ``uname -m`` prints it.
        machine: Properties of these programs.
    """

    arch: str
    machine: Machine

    def search(self) -> Path | None:
        """Find the emulator; ``None`` if no statically linked one is installed."""
        for name in self.machine.programs:
            found = shutil.which(name, path=search_path())
            if found and not needs_libraries(Path(found)):
                return Path(found).resolve()
        return None

    def find(self) -> Path:
        """Find the emulator.

        Raises:
            HostError: It is not installed, or needs shared libraries, which are not in the tree.
        """
        found = self.search()
        if found is None:
            raise HostError(
                f"this host lacks an emulator for programs for {self.arch}, a statically linked "
                f"{' or '.join(self.machine.programs)}",
                remedy=f"Install it: sudo apt-get install {TOOLS[self.machine.programs[0]]}",
            )
        return found

    def rule(self, program: Path) -> bytes:
        """Return the line that registers the emulator with binfmt_misc.

        Args:
            program: Path of the emulator.
        """
        magic, mask = (
            "".join(f"\\x{byte:02x}" for byte in data)
            for data in (self.machine.magic, self.machine.mask)
        )
        name = f"kiwinb-{self.machine.emulator}"
        return f":{name}:M::{magic}:{mask}:".encode() + os.fsencode(program) + f":{_FLAGS}".encode()


def emulator_for(arch: str, host_arch: str | None = None) -> Emulator | None:
    """Return the emulator that a host needs for programs for an architecture.

    Args:
        arch: Architecture, as ``uname -m`` prints it.
        host_arch: Architecture of the host; by default, that of this host.

    Returns:
        The emulator; ``None`` if the host's kernel executes such programs itself.

    Raises:
        HostError: kiwinb knows no emulator for the architecture.
    """
    host_arch = host_arch or platform.machine()
    if arch == host_arch or arch in _ALSO_RUN.get(host_arch, ()):
        return None
    if arch not in MACHINES:
        raise HostError(
            f"programs for {arch} cannot be run on this host, which is {host_arch}",
            remedy=f"Build on a host with the architecture {arch}. Emulators are known for: "
            f"{', '.join(MACHINES)}.",
        )
    return Emulator(arch, MACHINES[arch])


def emulator_for_tree(root: Path) -> Emulator | None:
    """Return the emulator that this host needs for programs of a tree; ``None`` if it needs none.

    The tree may be empty.
    """
    for program in _PROGRAMS_OF_TREES:
        with suppress(OSError), resolve_in(root, program).open("rb") as file:
            start = file.read(20)
            for arch, machine in MACHINES.items():
                if len(start) == 20 and matches(start, machine.magic, machine.mask):
                    return emulator_for(arch)
    return None


def host_runs(arch: str, place: Path = BINFMT_MISC) -> bool:
    """Tell whether the host has registered an emulator that works in every root tree.

    The result is also ``False`` if binfmt_misc is not mounted, as in a worker, which has its own
    ``/proc``. :func:`try_program` is reliable in that case, too.

    Args:
        arch: Architecture, as ``uname -m`` prints it.
        place: Mount point of binfmt_misc.
    """
    if arch not in MACHINES or _read(place / "status").strip() != "enabled":
        return False
    magic = MACHINES[arch].magic
    entries = [path for path in place.iterdir() if path.name not in ("register", "status")]
    return any(_is_for(_read(entry), magic) for entry in entries)


def _is_for(entry: str, magic: bytes) -> bool:
    """Tell whether a registration is enabled, has the flag F, and matches a magic number."""
    lines = entry.splitlines()
    fields = dict(line.partition(" ")[::2] for line in lines)
    wanted = bytes.fromhex(fields.get("magic", ""))
    return (
        "enabled" in lines
        and "F" in fields.get("flags:", "")
        and fields.get("offset") == "0"
        and 16 < len(wanted) <= len(magic)
        and matches(magic, wanted, bytes.fromhex(fields.get("mask", "ff" * len(wanted))))
    )


def namespace_for(root: Path, scratch: Path) -> InnerNamespace:
    """Make the namespace in which programs of a tree run, with an emulator if they need one.

    For use in a worker.

    Args:
        root: The tree.
        scratch: A writable directory on a file system without ``noexec``.

    Raises:
        HostError: The programs cannot be run on this host.
    """
    emulator = emulator_for_tree(root)
    if emulator is None or try_program(emulator, scratch):
        return make_inner_namespace()
    return emulation(emulator)


def try_architecture(arch: str) -> HostError | None:
    """Try in a new worker whether programs for an architecture run in root trees.

    Args:
        arch: Architecture, as ``uname -m`` prints it.

    Returns:
        Why they do not run; ``None`` if they run.
    """
    try:
        emulator = emulator_for(arch)
        if emulator is not None and not host_runs(arch):
            call(_try, emulator)
    except HostError as error:
        return error
    return None


def missing_emulator(arch: str) -> Emulator | None:
    """Return the emulator for an architecture if it is needed, but not installed on this host."""
    with suppress(HostError):
        emulator = emulator_for(arch)
        if emulator is not None and emulator.search() is None:
            return emulator
    return None


def _try(emulator: Emulator, _report: Report) -> None:
    """Try a program; for use in a worker.

    Raises:
        HostError: The program does not run.
    """
    with tempfile.TemporaryDirectory() as scratch:
        if try_program(emulator, Path(scratch)):
            return
        with closing(emulation(emulator)) as namespace:
            if not try_program(emulator, Path(scratch), namespace):
                raise HostError(
                    f"{emulator.find()} does not run programs for {emulator.arch} here",
                    remedy="Update it, or build on a host of that architecture.",
                )


def emulation(emulator: Emulator) -> InnerNamespace:
    """Make a namespace with a registered emulator for programs of the caller; for use in a worker.

    Raises:
        HostError: The emulator is not installed, or the host does not allow the registration.
    """
    rule = emulator.rule(emulator.find())
    try:
        return make_inner_namespace(lambda: register_privately(rule, Path("/proc")))
    except OSError as error:
        raise _cannot_register(error) from error


def register_privately(rule: bytes, place: Path) -> None:
    """Register an emulator in this process's own user and mount namespaces.

    Args:
        rule: See :meth:`Emulator.rule`.
        place: A directory to mount binfmt_misc on.

    Raises:
        OSError: ``EPERM`` if Linux is older than 6.7, ``ENODEV`` if it lacks binfmt_misc.
    """
    mount("binfmt_misc", place, "binfmt_misc")
    descriptor = os.open(place / "register", os.O_WRONLY)
    try:
        os.write(descriptor, rule)
    finally:
        os.close(descriptor)


def _cannot_register(error: OSError) -> HostError:
    reason = (
        "Linux 6.7 or newer is needed to register one for a build alone"
        if is_denied(error)
        else str(error)
    )
    return HostError(
        f"this host cannot run programs of another architecture: it has no emulator registered "
        f"with binfmt_misc, and none can be registered here ({reason})",
        remedy="Register one, on the host itself if this is a container: "
        "the emulator's package does it where systemd-binfmt or binfmt-support run (with the "
        'flag F, "fix binary"). Or run kiwinb on a newer kernel.',
    )


def try_program(
    emulator: Emulator, directory: Path, namespace: InnerNamespace | None = None
) -> bool:
    """Try whether a program for a foreign architecture runs in a root tree; for use in a worker.

    Args:
        emulator: The emulator for the program.
        directory: A writable directory, which becomes the root directory of the trial.
        namespace: The namespace to try in; ``None`` for the present one.
    """
    program = directory / "trial"
    program.write_bytes(emulator.machine.trial_program())
    program.chmod(0o755)
    child = os.fork()
    if child == 0:
        with suppress(OSError):
            if namespace:
                namespace.join()
            os.chroot(directory)
            os.chdir("/")
            os.execve("/trial", ["trial"], {})
        os._exit(1)
    _pid, status = os.waitpid(child, 0)
    program.unlink()
    return status == 0


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
