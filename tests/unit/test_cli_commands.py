"""What commands print and how they end; those that build nothing."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
import yaml
from descriptions import PREFERENCES, document

from kiwinb import cli
from kiwinb.build.appliance import Appliance
from kiwinb.checkpoints.runner import run_steps
from kiwinb.checkpoints.store import Store
from kiwinb.checks import CheckErrors, doctor
from kiwinb.checks.doctor import Diagnosis, Finding, examine
from kiwinb.errors import CommandError, HostError, SpaceError, StoreError
from kiwinb.prepare.cleanup import CleanUp
from kiwinb.settings import Settings
from kiwinb.steps.progress import StepEvent
from kiwinb.steps.step import DraftStep, HostPaths, Output, StepContext, seal

DATA = Path(__file__).parents[1] / "data/descriptions"
SERVER = DATA / "server"


@dataclass(frozen=True)
class Talk:
    """Print many lines, and perhaps fail."""

    lines: int
    fails: bool = False
    output: ClassVar[Output] = "tree"
    revision: ClassVar[int] = 1

    def run(self, context: StepContext) -> None:
        for number in range(self.lines):
            context.log(f"line {number}")
        if self.fails:
            raise CommandError(["talk"], 4)


@dataclass(frozen=True)
class Outcome:
    """What a run of the command line did."""

    status: int
    out: str
    err: str


Run = Callable[..., Outcome]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    monkeypatch.setenv("KIWINB_STORE", str(tmp_path / "kiwinb/store"))
    monkeypatch.setenv("KIWINB_CACHE", str(tmp_path / "kiwinb/cache"))
    monkeypatch.setenv("KIWINB_CONFIG", str(tmp_path / "config.toml"))
    (tmp_path / "config.toml").write_text("")
    for name in ("TMPDIR", "GREETING"):
        monkeypatch.delenv(name, raising=False)

    def run(*words: str | Path) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["kiwinb", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Outcome(ended.value.code, said.out, said.err)

    return run


def _describe(directory: Path, type: str, **more: str) -> Path:
    own = '<type image="oem" filesystem="ext4" firmware="efi"/>'
    document(directory, preferences=PREFERENCES.replace(own, type), **more)
    return directory


# --- errors ---


def test_a_missing_description_is_one_line_and_its_status(run: Run, tmp_path: Path) -> None:
    done = run("image", "info", "--description", tmp_path / "nowhere")
    assert done.status == 3
    assert done.out == ""
    assert done.err.startswith("kiwinb: ")
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    "words",
    [
        ("--no-such-option",),
        ("nonsense",),
        ("system", "build"),
        ("--setenv", "nothing", "doctor"),
        ("--debug-run-scripts-in-screen", "doctor"),
        ("image", "resize", "--target-dir", "x", "--size", "many"),
    ],
)
def test_a_wrong_command_line_has_status_2(run: Run, words: tuple[str, ...]) -> None:
    done = run(*words)
    assert done.status == 2
    assert "Error: " in done.err


def test_an_interrupt_has_status_130(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_args: object, **_named: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("kiwinb.checks.doctor.examine", interrupted)
    done = run("doctor")
    assert done.status == 128 + signal.SIGINT
    assert "run again" in done.err


def test_a_place_that_cannot_be_written_to_is_one_line(run: Run, tmp_path: Path) -> None:
    done = run("--logfile", tmp_path / "no/such/log", "doctor")
    assert done.status == 8
    assert "no/such/log" in done.err


def test_an_error_of_the_system_is_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_args: object, **_named: object) -> None:
        raise OSError(5, "Input/output error", "/x")

    monkeypatch.setattr("kiwinb.checks.doctor.examine", broken)
    done = run("doctor")
    assert (done.status, done.err) == (1, "kiwinb: [Errno 5] Input/output error: '/x'\n")


def test_a_full_disk_has_its_own_status(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cache = tmp_path / "kiwinb/cache"

    def full(*_args: object, **_named: object) -> None:
        raise OSError(28, "No space left on device", str(cache / "x"))

    monkeypatch.setattr("kiwinb.checks.doctor.examine", full)
    done = run("doctor")
    assert done.status == SpaceError.exit_status == 17
    assert f"no space left on the file system of the download cache {cache} (" in done.err
    assert "KIWINB_CACHE" in done.err


# --- checks and warnings, before anything is built ---


@pytest.mark.parametrize("command", ["prepare", "build"])
def test_all_problems_are_told_before_anything_is_built(
    run: Run, tmp_path: Path, command: str
) -> None:
    bad = '<type image="oem" filesystem="ext4" xen_server="true" firmware="ec2" gcelicense="x"/>'
    path = _describe(tmp_path, bad, repository="")
    where = ("--root" if command == "prepare" else "--target-dir", tmp_path / "out")
    done = run("system", command, "--description", path, *where)
    assert done.status == 4
    assert "[repositories_configured]" in done.err
    assert "[xen_uniquely_setup_as_server_or_guest]" in done.err
    assert f"WARNING: {path}/config.xml:5: <type>: gcelicense is valid, but" in done.err
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "kiwinb/store").exists()


def test_python_warns_and_checks_alike(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = _describe(
        tmp_path, '<type image="oem" filesystem="ext4" gcelicense="x"/>', repository=""
    )
    appliance = Appliance(path, settings=Settings(tmp_path / "store", tmp_path / "cache"))
    for build in (appliance.prepare, appliance.build, lambda: appliance.run_until("bootstrap")):
        with pytest.raises(CheckErrors, match="repositories_configured"):
            build()
    said = [record.getMessage() for record in caplog.records if "gcelicense" in record.getMessage()]
    assert said == [
        f"{path}/config.xml:5: <type>: gcelicense is valid, but changes nothing in this image"
    ]


def test_what_the_command_line_sets_is_warned_of_too(run: Run, tmp_path: Path) -> None:
    path = _describe(tmp_path, '<type image="oem" filesystem="ext4"/>', repository="")
    target = ("--target-dir", tmp_path / "out", "--set-type-attr", "gcelicense=me")
    done = run("system", "build", "--description", path, *target)
    assert "gcelicense is valid, but changes nothing in this image" in done.err


def test_the_target_is_checked(run: Run, tmp_path: Path) -> None:
    inside = tmp_path / "kiwinb/cache/out"
    done = run("system", "build", "--description", SERVER, "--target-dir", inside)
    assert done.status == 4
    assert "[target_directory_not_in_shared_cache]" in done.err


# --- what a description says ---


def test_show_writes_each_form(run: Run) -> None:
    assert run("description", "show", SERVER).out.startswith("<?xml")
    as_yaml = yaml.safe_load(run("description", "show", "--yaml", SERVER).out)
    as_toml = tomllib.loads(run("description", "show", "--toml", SERVER).out)
    as_json = json.loads(run("--json", "description", "show", SERVER).out)
    assert as_yaml == as_json["description"]
    assert as_toml["image"]["@name"] == as_yaml["image"]["@name"]
    assert run("description", "show", "--diff", SERVER).status == 0


@pytest.mark.parametrize(
    ("option", "start"),
    [("--print-xml", "<?xml"), ("--print-yaml", "image:"), ("--print-toml", "[image]")],
)
def test_info_prints_the_description(run: Run, option: str, start: str) -> None:
    assert run("image", "info", "--description", SERVER, option).out.startswith(start)


def test_info_says_what_it_is_about(run: Run) -> None:
    done = run("image", "info", "--description", SERVER)
    assert done.status == 0
    assert {"name", "version", "author", "contact", "about", "type"} <= {
        line.partition(":")[0] for line in done.out.splitlines()
    }
    facts = json.loads(run("--json", "image", "info", "--description", SERVER).out)
    assert "secret" in (SERVER / "config.xml").read_text()
    assert "secret" not in str(facts)
    assert facts["type"]["image"]


def test_info_takes_repositories_of_the_command_line(run: Run) -> None:
    repositories = ("--ignore-repos", "--add-repo", "https://mirror.example.org/x,apt-deb,mine")
    done = run("--json", "image", "info", "--description", SERVER, *repositories)
    assert [item["alias"] for item in json.loads(done.out)["repositories"]] == ["mine"]


def test_info_leaves_the_passphrase_of_luks_out(run: Run, tmp_path: Path) -> None:
    path = _describe(tmp_path, '<type image="oem" filesystem="ext4" luks="TopSecret"/>')
    done = run("--json", "image", "info", "--description", path)
    assert json.loads(done.out)["type"]["attributes"]["filesystem"] == "ext4"
    assert "TopSecret" not in done.out


def test_info_lists_profiles_and_variables(run: Run) -> None:
    profiles = DATA / "profiles"
    done = run("image", "info", "--description", profiles, "--list-profiles")
    assert json.loads(done.out) == {
        "image": "profiles",
        "profile_names": ["base", "disk", "container"],
    }
    done = run("image", "info", "--description", SERVER, "--print-kiwi-env", "--list-profiles")
    found = json.loads(done.out)
    assert found["image"] == found["kiwi_env"]["kiwi_iname"] == "server"
    assert found["profile_names"] == []
    assert list(found["kiwi_env"]) == sorted(found["kiwi_env"])


def test_info_prints_the_whole_description(run: Run) -> None:
    done = run("image", "info", "--description", DATA / "profiles", "--print-xml")
    for name in ("base", "disk", "container"):
        assert f'profiles="{name}' in done.out, "those that are not selected, too"


# --- global options ---


def test_environment_settings_and_temporary_directory(run: Run, tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text("nonsense = 1\n")
    done = run("--config", tmp_path / "other.toml", "checkpoints", "list")
    assert done.status == 1
    assert "nonsense" in done.err
    (tmp_path / "config.toml").write_text("")
    run("--setenv", "GREETING=hello", "--temp-dir", tmp_path, "description", "show", SERVER)
    assert os.environ.pop("GREETING") == "hello"
    assert os.environ.pop("TMPDIR") == str(tmp_path)


def test_the_log_goes_to_a_file_and_to_a_socket(run: Run, tmp_path: Path) -> None:
    path = _describe(
        tmp_path, '<type image="oem" filesystem="ext4" gcelicense="x"/>', repository=""
    )
    build = ("system", "build", "--description", path, "--target-dir", tmp_path / "out")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(tmp_path / "log.sock"))
        listening.listen()
        run("--logfile", tmp_path / "log", "--logsocket", tmp_path / "log.sock", *build)
        logging.getLogger("kiwinb").handlers[-1].close()
        connection, _address = listening.accept()
        with connection:
            heard = connection.makefile().read()
    assert " WARNING " in heard
    assert "gcelicense is valid" in heard
    assert "gcelicense is valid" in (tmp_path / "log").read_text()
    assert "WARNING" not in run("--loglevel", "40", *build).err


def test_the_log_goes_to_standard_output(run: Run, tmp_path: Path) -> None:
    path = _describe(tmp_path, '<type image="oem" filesystem="ext4" gcelicense="x"/>')
    build = ("system", "build", "--description", path, "--target-dir", tmp_path / "out")
    done = run("--logfile", "stdout", *build)
    logging.getLogger("kiwinb").handlers.clear()  # one of them writes to what is closed now
    assert " WARNING " in done.out
    assert "gcelicense is valid" in done.out
    assert not Path("stdout").exists()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(run: Run, shell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SHELL", f"/usr/bin/{shell}")
    shown = run("--show-completion", shell).out
    assert "_KIWINB_COMPLETE" in shown
    done = run("--install-completion")
    assert done.status == 0
    (place,) = (
        Path(word.rstrip(";")) for word in done.out.split() if word.startswith(str(tmp_path))
    )
    assert place.read_text().strip() == shown.strip()


def test_completion_completes() -> None:
    words = {"_KIWINB_COMPLETE": "bash_complete", "COMP_WORDS": "kiwinb sys", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-c", "from kiwinb.cli import app; app(prog_name='kiwinb')"],
        env={**os.environ, **words},
        capture_output=True,
        text=True,
    )
    assert "system" in done.stdout


# --- progress ---


def test_progress_is_bars_on_a_terminal_and_lines_elsewhere(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from rich.console import Console

    from kiwinb.cli.terminal import step_progress

    (step,) = seal((DraftStep("clean", "Clean up", CleanUp(0)),))
    for terminal in (False, True):
        console = Console(stderr=True, force_terminal=terminal, width=100, color_system=None)
        with step_progress(console, verbose=False) as observer:
            observer(StepEvent(step, "running"))
            observer(StepEvent(step, "running", line="a line"))
            observer(StepEvent(step, "running", fraction=0.5))
            time.sleep(0.2)
            observer(StepEvent(step, "done", seconds=1.0))
            observer(StepEvent(step, "reused", seconds=1.0))
        said = capsys.readouterr().err
        assert "+ Clean up: done (1.0 s)" in said
        assert "= Clean up: not run: nothing that it read has changed\n" in said
        assert ("\x1b[" in said) == terminal
        assert ("> Clean up" in said) != terminal
        assert ("a line" in said) == terminal


def test_output_of_a_failed_step_is_printed_once(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console

    from kiwinb.cli.terminal import step_progress

    (step,) = seal((DraftStep("clean", "Clean up", CleanUp(0)),))
    for verbose in (False, True):
        error = CommandError(["tool"], 4, ("the reason",))
        console = Console(stderr=True, force_terminal=False, width=100, color_system=None)
        with step_progress(console, verbose=verbose) as observer:
            observer(StepEvent(step, "running"))
            observer(StepEvent(step, "running", line="the reason"))
            observer(StepEvent(step, "failed", error=error))
        assert (capsys.readouterr().err + error.message).count("the reason") == 1


def test_log_prints_all_that_a_step_printed(run: Run, tmp_path: Path) -> None:
    store = Store.open(tmp_path / "kiwinb/store")
    (good, bad) = seal(
        (DraftStep("good", "Good", Talk(300)), DraftStep("bad", "Bad", Talk(500, fails=True)))
    )
    with pytest.raises(CommandError) as caught:
        run_steps(store, (good, bad), HostPaths(cache=tmp_path))
    lines = [f"line {number}" for number in range(300)]
    assert run("checkpoints", "log", good.key[:9]).out.splitlines() == lines
    assert json.loads(run("--json", "checkpoints", "log", good.key).out) == lines
    kept = caught.value.log_file
    assert kept is not None and f"Its whole log: {kept}" in str(caught.value)
    assert len(kept.read_text().splitlines()) == 500
    assert run("checkpoints", "log", bad.key[:9]).out == kept.read_text()
    assert run("checkpoints", "log", "f00").status == StoreError.exit_status
    run("checkpoints", "gc", "--limit", "0")
    assert not kept.exists()


# --- doctor ---


def test_doctor_prints_a_table_or_json_and_ends_with_its_status(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Diagnosis(
        (
            Finding("tools", "ok", "tar"),
            Finding("tools", "missing", "sfdisk", "Run: …", ("fdisk",)),
            Finding("tools", "missing", "mkfs.xfs", "Run: …", ("xfsprogs",)),
            Finding("privileges", "missing", "no ids", "Run: sudo usermod …"),
            Finding("QEMU", "note", "no QEMU", "", ("qemu-system-x86",)),
        )
    )
    monkeypatch.setattr("kiwinb.checks.doctor.examine", lambda *_args, **_named: found)
    done = run("doctor")
    assert done.status == HostError.exit_status
    assert "sudo apt-get install fdisk xfsprogs" in done.out
    assert "sudo usermod" in done.out
    assert "\x1b" not in done.out
    assert "\x1b" in run("--color-output", "doctor").out
    data = json.loads(run("--json", "doctor").out)
    assert data["ready"] is False
    assert data["install"] == "sudo apt-get install fdisk xfsprogs"
    assert data["suggest"] == "sudo apt-get install qemu-system-x86"

    monkeypatch.setattr("kiwinb.checks.doctor.examine", lambda *_args, **_named: Diagnosis(()))
    assert run("doctor").status == 0


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    mirrors = {"debian": ("http://mirror.example.org/debian",)}
    return Settings(tmp_path / "kiwinb/store", tmp_path / "kiwinb/cache", mirrors=mirrors)


def test_doctor_names_packages_of_tools_that_are_not_there(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _describe(tmp_path, '<type image="oem" filesystem="xfs" format="qcow2"/>')
    real = shutil.which
    gone = ("mkfs.xfs", "qemu-img", "sfdisk")
    monkeypatch.setattr(
        shutil, "which", lambda name, **named: None if name in gone else real(name, **named)
    )
    found = examine(path, settings=settings)
    assert not found.ready
    packages = {name for item in found.missing for name in item.packages}
    assert packages >= {"xfsprogs", "qemu-utils", "fdisk"}
    assert found.install is not None
    assert found.install.startswith("sudo apt-get install ")
    for name in gone:
        assert any(name in item.what for item in found.missing)
    assert "cannot build test yet" in str(found)
    assert "<table>" in found._repr_html_()


def test_doctor_says_what_a_build_would_refuse(
    run: Run, tmp_path: Path, settings: Settings
) -> None:
    path = _describe(
        tmp_path,
        '<type image="oem" filesystem="ext4" luks="x" overlayroot="true" installiso="true"/>',
        repository='<repository><source path="http://127.0.0.1:9/debian"/></repository>',
    )
    found = examine(path, settings=settings)
    assert not found.ready
    told = [item.what for item in found.missing if item.area == "description"]
    built = run("system", "build", "--description", path, "--target-dir", tmp_path / "out")
    assert built.status == 4
    assert "127.0.0.1" not in built.err, "the network was not touched"
    for name in ("luks", "overlayroot", "installiso"):
        expected = f"config.xml:5: <type>: kiwinb cannot do {name} yet"
        assert any(expected in line for line in told)
        assert expected in built.err
    assert "emove" not in built.err, "a remedy is never to remove what makes an image secure"


def test_doctor_says_what_mirror_is_not_known(tmp_path: Path, settings: Settings) -> None:
    path = _describe(
        tmp_path,
        '<type image="tbz"/>',
        repository='<repository type="apt-deb"><source path="mirror:nowhere"/></repository>',
    )
    found = examine(path, settings=settings)
    lacking = [item for item in found.missing if item.area == "repositories"]
    assert [item.what for item in lacking] == ["no mirror is known for mirror:nowhere"]
    assert "[mirrors]" in lacking[0].remedy


def test_doctor_tells_of_privileges_space_and_backends(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied() -> None:
        raise HostError("user namespaces are forbidden", remedy="Run: sudo sysctl x=1")

    monkeypatch.setattr(doctor, "detect", denied)
    usage = type("Usage", (), {"free": 1})
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    found = {item.area: item for item in examine(settings=settings).findings}
    assert found["privileges"].state == "missing"
    assert found["privileges"].remedy == "Run: sudo sysctl x=1"
    assert found["disk space"].state == "missing"
    assert "checkpoints" not in found


def test_doctor_looks_at_this_host(settings: Settings) -> None:
    found = examine(settings=settings)
    areas = {item.area for item in found.findings}
    assert {"tools", "privileges", "disk space", "QEMU", "KVM", "mirrors"} <= areas
    assert not settings.store.exists()
