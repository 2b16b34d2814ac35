"""A witness of what attacks do, on the host: it looks at their processes again and again."""

from __future__ import annotations

import os
import re
import socket
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from host import Host, repeated
from payloads import ATTACKS, SEEN, process_name

NAMES = tuple(ATTACKS)
_PROCESS = re.compile(r"atk[0-9a-f]{4}(?P<place>[A-Z])(?P<what>\d+|main)(?P<held>h?)$")
"""The name of a process of an attack: its place, its number, and whether it waits for us."""


@dataclass
class Witness:
    """Someone on the host who looks at the processes of the attacks again and again.

    Attributes:
        host: The host.
        seen: What was seen, by the label of the attack.
        pipes: Pipes of kiwinb's own process.
    """

    host: Host
    seen: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    pipes: set[str] = field(default_factory=set)
    _spaces: dict[str, str] = field(default_factory=dict)
    _name: str = field(default_factory=socket.gethostname)

    @contextmanager
    def looking(self, process: subprocess.Popen[str]) -> Iterator[None]:
        """Look while a build runs."""
        with repeated(lambda: self._look(process.pid), 0.03):
            yield

    def _look(self, builder: int) -> None:
        self.pipes |= {link for _fd, link in _descriptors(builder) if link.startswith("pipe:")}
        running: list[tuple[int, re.Match[str]]] = []
        others: list[int] = []
        for entry in os.listdir("/proc"):
            if entry.isdecimal():
                found = self._attack(entry)
                if found is None:
                    others.append(int(entry))
                else:
                    running.append((int(entry), found))
        labels = []
        for pid, found in running:
            if found["what"] == "main":
                self._spaces[found["place"]] = _link(f"/proc/{pid}/ns/user")
            elif "zombie" not in (status := _read(f"/proc/{pid}/status")) and status:
                labels.append(label := f"{found['place']}-{NAMES[int(found['what'])]}")
                self.seen[label] |= {*self._of_process(pid, found["place"])}
        if labels:
            around = {*self._around(others, builder)}
            for label in labels:
                self.seen[label] |= around
        for pid, found in running:
            if found["held"]:
                with suppress(ProcessLookupError):
                    os.kill(pid, SEEN)

    def _of_process(self, pid: int, place: str) -> Iterator[str]:
        space = _link(f"/proc/{pid}/ns/user")
        if space and place in self._spaces and space != self._spaces[place]:
            yield "userns"
        groups = _link(f"/proc/{pid}/ns/cgroup")
        if groups and groups == _link("/proc/self/ns/cgroup"):
            yield "control groups of host"
        own = "host" if space == _link("/proc/self/ns/user") else "own"
        for descriptor, link in _descriptors(pid):
            yield f"fd {link}"
            if link in self.pipes and int(descriptor) > 2:
                yield "fd pipe of kiwinb"
            flags = re.search(r"flags:\s+(\d+)", _read(f"/proc/{pid}/fdinfo/{descriptor}"))
            if flags and int(flags[1], 8) & 3:
                yield f"{own} write {link}"
            with suppress(OSError):
                about = os.stat(f"/proc/{pid}/fd/{descriptor}")
                kind = {0o020000: "c", 0o060000: "b"}.get(about.st_mode & 0o170000)
                if kind and int(descriptor) > 2:
                    yield f"device {kind} {os.major(about.st_rdev)}:{os.minor(about.st_rdev)}"
        added = str(self.host.facts["added"])
        if added in _read(f"/proc/{pid}/net/fib_trie"):
            yield "own network"
        sockets = [link[8:-1] for _fd, link in _descriptors(pid) if link.startswith("socket:")]
        if any(f" {inode} " in _read(f"/proc/{pid}/net/raw") for inode in sockets):
            yield "raw socket"
        fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
        if len(fields) > 38:
            yield f"nice {fields[16]}"
            yield f"policy {fields[38]}"
        yield f"oom {_read(f'/proc/{pid}/oom_score_adj').strip()}"

    def _around(self, others: list[int], builder: int) -> Iterator[str]:
        """What an attack changes elsewhere."""
        for pid in others:
            status = _read(f"/proc/{pid}/status")
            tracer = re.search(r"TracerPid:\s+(\d+)", status)
            if tracer and self._attack(tracer[1]):
                yield "traced"
            if "State:\tT" in status and self._is_builder(pid):
                yield "stopped"
            if pid != builder and self._is_builder(pid):
                mounts = _read(f"/proc/{pid}/mountinfo")
                if "-mount-over-kiwinb rw" in mounts:
                    yield "mount"
        port = f":{int(str(self.host.facts['free'])):04X} 00000000:0000 0A"
        if port in _read("/proc/net/tcp"):
            yield "listens"
        if str(self.host.facts["added"]) in _read("/proc/net/fib_trie"):
            yield "address"
        if socket.gethostname() != self._name:
            yield "hostname"

    def _attack(self, pid: int | str) -> re.Match[str] | None:
        """The place and the number of an attack on this host, if a process is one."""
        comm = _read(f"/proc/{pid}/comm").strip()
        own = comm.startswith(process_name(self.host.mark, "", ""))
        return _PROCESS.match(comm) if own else None

    def _is_builder(self, pid: int) -> bool:
        return self.host.mark in _read(f"/proc/{pid}/environ")

    def left(self) -> set[str]:
        """The attacks of which a process is still there."""
        found = set()
        for entry in os.listdir("/proc"):
            match = self._attack(entry)
            if match and match["what"] != "main":
                found.add(f"{match['place']}-{NAMES[int(match['what'])]}")
                os.kill(int(entry), 9)
        return found


def _descriptors(pid: int) -> Iterator[tuple[str, str]]:
    with suppress(OSError):
        for name in os.listdir(f"/proc/{pid}/fd"):
            if link := _link(f"/proc/{pid}/fd/{name}"):
                yield name, link


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def _read(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""
