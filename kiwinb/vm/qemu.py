"""Start a disk image in QEMU and work on its serial console.

::

    with boot(image, firmware="uefi") as console:
        console.login("root", "secret")
        console.run("systemctl is-system-running").status
"""

from __future__ import annotations

import os
import platform
import re
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import pexpect

from kiwinb.errors import BootError, HostError
from kiwinb.vm.machines import VirtualMachine, machine_for

Firmware = Literal["bios", "uefi"]

_ESCAPES = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[()][0-9A-B]|[=>c])"
)


@dataclass(frozen=True)
class CommandResult:
    """The result of a command in the booted system.

    Attributes:
        status: Exit status.
        output: Its output, without the final line end.
    """

    status: int
    output: str


class Console:
    """The serial console of a running machine; get one from :func:`boot`.

    Args:
        child: The process whose standard streams are the console.
    """

    def __init__(self, child: pexpect.spawn[str]) -> None:
        self._child = child

    def expect(self, pattern: str, *, timeout: float = 180) -> re.Match[str]:
        """Read until a pattern matches.

        Args:
            pattern: Regular expression.
            timeout: Time to wait in seconds.

        Raises:
            BootError: The pattern did not match in time, or the machine ended. The error includes
                the last lines of the console.
        """
        try:
            self._child.expect(pattern, timeout=timeout)
        except pexpect.TIMEOUT:
            raise self._error(f"{pattern!r} did not appear within {timeout:.0f} s") from None
        except pexpect.EOF:
            raise self._error(f"the machine ended before {pattern!r} appeared") from None
        match = self._child.match
        assert isinstance(match, re.Match)
        return match

    def send(self, line: str) -> None:
        """Type a line."""
        self._child.sendline(line)

    def login(self, user: str, password: str | None = None, *, timeout: float = 300) -> None:
        """Wait for the login prompt, log in, and prepare the shell for :meth:`run`.

        Raises:
            BootError: No prompt appeared, or the login was refused.
        """
        self.expect(r"login: ", timeout=timeout)
        self.send(user)
        if password is not None:
            self.expect(r"[Pp]assword: ", timeout=60)
            self.send(password)
        self.expect(r"[#$] ", timeout=120)
        self.send(
            "stty -echo cols 500; export TERM=dumb; dmesg -n 1; PS1=; PS2=; bind 'set "
            "enable-bracketed-paste off' 2>/dev/null"
        )
        self.run("true")

    def run(self, command: str, *, timeout: float = 120) -> CommandResult:
        """Run a shell command in the session that :meth:`login` opened.

        Raises:
            BootError: The command did not end in time.
        """
        mark = secrets.token_hex(8)
        first, second = mark[:8], mark[8:]
        self.send(f"echo {first}''{second}; {{ {command}\n}}; echo {first}''{second} $?")
        self.expect(rf"{mark}\r*\n", timeout=timeout)
        end = self.expect(rf"(?s)(.*?)\r*\n?{mark} (\d+)\r*\n", timeout=timeout)
        output = _ESCAPES.sub("", end[1]).replace("\r", "")
        return CommandResult(int(end[2]), output)

    def power_off(self, *, timeout: float = 120) -> None:
        """Shut the system down and wait for the machine to end."""
        self.send("systemctl poweroff || poweroff")
        self._child.expect(pexpect.EOF, timeout=timeout)

    def _error(self, problem: str) -> BootError:
        shown = _ESCAPES.sub("", self._child.before or "").replace("\r", "").splitlines()[-50:]
        tail = "".join(f"\n  | {line}" for line in shown)
        return BootError(f"{problem}; the console showed last:{tail}")


@contextmanager
def boot(
    image: Path,
    *,
    firmware: Firmware = "bios",
    memory: int = 1024,
    keep_changes: bool = False,
    network: bool = False,
    log: Path | None = None,
    arch: str | None = None,
) -> Iterator[Console]:
    """Start a disk image; the machine stops at the end of the block.

    Args:
        image: A raw or qcow2 disk image.
        firmware: ``bios`` (SeaBIOS) or ``uefi`` (OVMF or AAVMF, without secure boot).
        memory: Memory of the machine in MiB.
        keep_changes: Let the machine change the image; otherwise the image stays unchanged.
        network: Give the machine a network card with user-mode networking.
        log: File to write the output of the console to.
        arch: Architecture of the image, as ``uname -m`` prints it; by default, the host's.

    Raises:
        HostError: QEMU or the firmware is not installed, or kiwinb does not support them for the
            architecture.
    """
    with tempfile.TemporaryDirectory(prefix="kiwinb-boot-") as scratch:
        machine = machine_for(arch or platform.machine())
        argv = _command(image, machine, firmware, memory, keep_changes, network, Path(scratch))
        child = pexpect.spawn(
            argv[0], argv[1:], encoding="utf-8", codec_errors="replace", timeout=180, echo=False
        )
        child.delaybeforesend = None
        stream = log.open("w", encoding="utf-8", errors="replace") if log else None
        child.logfile_read = stream
        try:
            yield Console(child)
        finally:
            child.close(force=True)
            if stream:
                stream.close()


def _command(
    image: Path,
    machine: VirtualMachine,
    firmware: Firmware,
    memory: int,
    keep_changes: bool,
    network: bool,
    scratch: Path,
) -> list[str]:
    program = shutil.which(machine.program)
    if program is None:
        raise HostError(
            f"{machine.program} is not installed", remedy=f"apt install {machine.package}"
        )
    if firmware not in machine.firmware:
        raise HostError(f"machines of the architecture {machine.arch} have no {firmware}")
    with image.open("rb") as file:
        kind = "qcow2" if file.read(4) == b"QFI\xfb" else "raw"
    drive = f"file={str(image).replace(',', ',,')},format={kind},if=virtio,discard=unmap"
    return [
        program,
        *("-nodefaults", "-no-reboot", "-display", "none", *machine.options),
        *("-machine", machine.board, "-m", f"{memory}M", "-smp", str(min(2, os.cpu_count() or 1))),
        *accelerator(program, machine),
        *("-drive", drive + ("" if keep_changes else ",snapshot=on")),
        *("-device", "virtio-rng-pci", "-serial", "stdio"),
        *(("-nic", "user,model=virtio-net-pci") if network else ("-nic", "none")),
        *(_uefi(machine, scratch) if firmware == "uefi" else ()),
    ]


def _uefi(machine: VirtualMachine, scratch: Path) -> tuple[str, ...]:
    found = machine.find_uefi()
    if found is None:
        raise HostError(
            "no UEFI firmware for QEMU is installed", remedy=f"apt install {machine.uefi_package}"
        )
    code, variables = found
    shutil.copy(variables, scratch / "vars.fd")
    return (
        *("-drive", f"if=pflash,format=raw,readonly=on,file={code}"),
        *("-drive", f"if=pflash,format=raw,file={scratch / 'vars.fd'}"),
    )


@cache
def accelerator(program: str, machine: VirtualMachine) -> tuple[str, ...]:
    """Return QEMU's options for KVM if a trial with it succeeds, or else for emulation.

    The trial is necessary because in a nested guest, ``/dev/kvm`` may exist without working.
    """
    if (
        machine.arch == platform.machine()
        and os.access("/dev/kvm", os.R_OK | os.W_OK)
        and machine.has_virtualization(Path("/proc/cpuinfo").read_text())
    ):
        options = ("-accel", "kvm", "-cpu", "host")
        trial = [program, "-nodefaults", "-display", "none", "-machine", machine.board, *options]
        done = subprocess.run(
            [*trial, "-S", "-monitor", "stdio"], input=b"quit\n", capture_output=True
        )
        if done.returncode == 0:
            return options
    return ("-accel", "tcg,thread=multi", "-cpu", machine.emulated_cpu)
