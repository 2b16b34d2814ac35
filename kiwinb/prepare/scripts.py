"""Run scripts of the description with KIWI NG's functions and variables."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from kiwinb.description.model import ImageDescription
from kiwinb.errors import CommandError, LimitError, Location
from kiwinb.packages.traces import BY_PRODUCTS, Traces, without_traces
from kiwinb.prepare import failing_line
from kiwinb.prepare.profile import profile_text, profile_variables
from kiwinb.prepare.shell import functions_text
from kiwinb.sandbox.caged import OpenCage
from kiwinb.sandbox.chroot import ENVIRONMENT, Chroot
from kiwinb.sandbox.command import Log
from kiwinb.sandbox.host_view import host_view
from kiwinb.sandbox.paths import anchored, resolve_in
from kiwinb.steps.keys import Source
from kiwinb.steps.step import Output, StepContext

FUNCTIONS = ".kconfig"
PROFILE = ".profile"
FOLDER = "image"
WATCH = ".kiwinb-watch"
LINE = ".kiwinb-line"

OBSERVED = re.compile(rb"^#[ \t]*kiwinb:[ \t]*observed[ \t]*$", re.MULTILINE)
"""The comment with which a script asks to run again only if something that it read changed."""

_SECRETS = (
    "etc/ssh/ssh_host_ecdsa_key",
    "etc/ssh/ssh_host_ed25519_key",
    "etc/ssh/ssh_host_rsa_key",
)
"""Files that most images leave to each machine; whoever shares them on purpose may do so."""

_SHELLS = ("sh", "bash", "dash")
_NO_NETWORK = re.compile(
    r"could ?n.t resolve|could not resolve|temporary failure (in name resolution|resolving)|"
    r"name or service not known|network (is )?unreachable|unable to resolve host|"
    r"no address associated|failed to resolve|bad address '",
    re.IGNORECASE,
)
"""What programs print if they find no network."""


@dataclass(frozen=True)
class ScriptEnvironment:
    """Functions and variables for a script.

    Attributes:
        functions: Text of ``/.kconfig``.
        variables: Variables of ``/.profile``, which are also environment variables.
        epoch: ``SOURCE_DATE_EPOCH``, in seconds since 1970-01-01 UTC.
    """

    functions: str
    variables: Mapping[str, str]
    epoch: int


@dataclass(frozen=True)
class Script:
    """A script of the description.

    Attributes:
        name: KIWI NG's name for the script, such as ``config.sh``.
        source: Its file; the digest covers its content and its mode.
        environment: Functions and variables for the script.
        network: Whether it reaches the network outside of this host.
    """

    name: str
    source: Source
    environment: ScriptEnvironment
    network: bool = False

    @cached_property
    def content(self) -> bytes:
        """Content of the file."""
        return self.source.path.read_bytes()

    @property
    def observed(self) -> bool:
        """Whether it has the comment ``# kiwinb: observed``.

        It is the author's statement that the effect of the script depends only on its text, its
        variables and the files of the tree, and not, for example, on the time.
        """
        return OBSERVED.search(self.content) is not None

    def interpreter(self) -> str | None:
        """Return the interpreter that the first line names; ``None`` if bash runs the script.

        As in KIWI NG, bash runs scripts that are not executable. But if the first line names a
        program that is not a shell, that program always runs the script.
        """
        if not self.content.startswith(b"#!"):
            return None
        words = self.content.partition(b"\n")[0][2:].decode(errors="replace").split()
        if words and Path(words[0]).name == "env":
            words = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
        executable = os.access(self.source.path, os.X_OK)
        if not words or (Path(words[0]).name in _SHELLS and not executable):
            return None
        return words[0]


def script_environment(
    image: ImageDescription, epoch: int, of_kind: Mapping[str, object] | None = None
) -> ScriptEnvironment:
    """Return functions and variables for scripts; arguments as for :func:`profile_variables`."""
    return ScriptEnvironment(functions_text(), profile_variables(image, of_kind), epoch)


@dataclass(frozen=True)
class RunScript:
    """Run a script of the description in the root tree.

    While the script runs, the tree has the functions in ``/.kconfig``, the variables in
    ``/.profile`` and the script in ``/image/NAME``. They are removed afterwards, and so is what the
    tools that it calls leave behind. Everything else that it makes belongs to the image.

    Attributes:
        script: The script.
        on_host: Whether it runs on the host, with the root tree as its working directory.
        traces: What tools leave behind; see :mod:`kiwinb.packages.traces`.
    """

    output: ClassVar[Output] = "tree"
    revision: ClassVar[int] = 4

    script: Script
    on_host: bool = False
    traces: tuple[str, ...] = BY_PRODUCTS

    @property
    def observed(self) -> bool:
        """Whether its result is reused as long as everything that it read is unchanged."""
        return self.script.observed and not self.on_host

    def run(self, context: StepContext) -> None:
        """Run the script.

        Raises:
            CommandError: The exit status of the script is not 0, or the tree lacks its interpreter.
        """
        secrets = Traces.look(context.root, _SECRETS)
        with without_traces(context.root, self.traces):
            if self.on_host:
                run_on_host(context.root, self.script, context.log)
            else:
                run_in_tree(context.root, self.script, context.log)
        for path in secrets.new():
            name = path.relative_to(context.root)
            context.log(f"{self.script.name} made /{name}: all machines of this image share it")


def run_in_tree(root: Path, script: Script, log: Log, *arguments: str) -> None:
    """Run a script in a root tree.

    Args:
        root: The root tree.
        script: The script.
        log: Called with each line of output.
        arguments: Arguments of the script.

    Raises:
        CommandError: The script failed, or the tree lacks its interpreter.
    """
    interpreter = script.interpreter()
    _require(root, script, interpreter or "bash")
    with (
        _laid_out(root, script, f"/{FOLDER}") as folder,
        _explained(script, folder),
        Chroot(root, log=log, network=script.network) as chroot,
    ):
        place = f"/{FOLDER}/{script.name}"
        watched = {} if interpreter else {failing_line.VARIABLE: f"/{FOLDER}/{WATCH}"}
        chroot.run(
            [*(() if interpreter else ("bash",)), place, *arguments],
            env={**_variables(script), **watched},
            keep_output=False,
        )


def run_on_host(
    root: Path, script: Script, log: Log, *arguments: str, writable: Sequence[Path] = ()
) -> None:
    """Run a script with the programs of the host, with the root tree as its working directory.

    The script runs in a cage. It sees the host's programs and those of its settings that every
    user may read, and can write only to the tree and to temporary directories of its own. So an
    absolute path from which the tree's directory is missing does no harm.

    Args:
        root: The root tree.
        script: The script; bash runs it.
        log: Called with each line of output.
        arguments: Arguments of the script.
        writable: More directories that the script sees and may write to.

    Raises:
        CommandError: The script failed.
    """
    seen = root / FOLDER
    watched = {failing_line.VARIABLE: str(seen / WATCH)}
    with (
        _laid_out(root, script, str(seen)) as folder,
        _explained(script, folder),
        OpenCage(network=script.network) as cage,
    ):
        cage.run(
            host_view((root, *writable)),
            ["bash", "--norc", str(seen / script.name), *arguments],
            env={**ENVIRONMENT, **_variables(script), **watched},
            log=log,
            cwd=str(root),
            keep_output=False,
        )


def _variables(script: Script) -> dict[str, str]:
    given = script.environment
    return {**given.variables, "SOURCE_DATE_EPOCH": str(given.epoch)}


@contextmanager
def _laid_out(root: Path, script: Script, seen: str) -> Iterator[Path]:
    """Put a script with its functions and variables into the tree, and remove them afterwards.

    Args:
        root: The root tree.
        script: The script.
        seen: Path of the script's directory, in the view of the script.
    """
    given = script.environment
    place = resolve_in(root, FOLDER)
    made = not place.exists()
    place.mkdir(exist_ok=True)
    with anchored(place) as folder:
        texts = {
            root / FUNCTIONS: given.functions.encode(),
            root / PROFILE: profile_text(given.variables).encode(),
            folder / script.name: script.content,
            folder / WATCH: failing_line.watch_text(f"{seen}/{LINE}").encode(),
        }
        own = folder / script.name
        before = own.read_bytes() if own.is_file() and not own.is_symlink() else None
        try:
            for path, content in texts.items():
                _replace(path, content)
            own.chmod(0o755)
            yield folder
        finally:
            for path in (*texts, folder / LINE):
                _replace(path, None)
            if made and os.path.lexists(place) and os.path.samestat(place.lstat(), folder.stat()):
                shutil.rmtree(place)
            elif before is not None:
                own.write_bytes(before)


def _replace(path: Path, content: bytes | None) -> None:
    """Write a file, or remove it, whatever is there; never through a link."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    if content is not None:
        path.write_bytes(content)


@contextmanager
def _explained(script: Script, folder: Path) -> Iterator[None]:
    """Make errors name the script and, if known, the line that failed."""
    try:
        yield
    except CommandError as error:
        raise CommandError(
            error.argv,
            error.status,
            error.tail,
            problem=f"{script.name} failed",
            remedy=_remedy(script, error.tail),
            location=Location(script.source.path, failing_line.failing_line(folder / LINE)),
        ) from None
    except LimitError as error:
        raise LimitError(
            f"{script.name}: {error.problem}",
            remedy=error.remedy,
            location=Location(script.source.path),
        ) from None


def _remedy(script: Script, said: Sequence[str]) -> str:
    if not script.network and any(_NO_NETWORK.search(line) for line in said):
        return (
            "Scripts have no network, so that a build gives the same image tomorrow. If this one "
            f"needs it, build with --network={script.name}."
        )
    return "Correct the script and run again: the steps before it are kept."


def _require(root: Path, script: Script, interpreter: str) -> None:
    """Raise an error if the tree lacks the interpreter of a script."""
    places = [interpreter]
    if "/" not in interpreter:
        places = [f"{folder}/{interpreter}" for folder in ENVIRONMENT["PATH"].split(":")]
    if not any(resolve_in(root, place).is_file() for place in places):
        raise CommandError(
            [f"/{FOLDER}/{script.name}"],
            127,
            problem=f"{script.name} is run by {interpreter}, which is not in the root tree",
            remedy="Add the package that contains it, or start the script with another #! line.",
            location=Location(script.source.path),
        )
