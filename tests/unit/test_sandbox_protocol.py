"""What comes out of a worker is nothing but checked data, whatever programs in it write."""

from __future__ import annotations

import pickle
import struct
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from event_attacks import NONSENSE, Forge, Opens, attack, attack_observer, framed
from store_program import accounts

from kiwinb.checkpoints.runner import run_steps
from kiwinb.checkpoints.store import Store
from kiwinb.errors import HostError
from kiwinb.sandbox.events import event_frame
from kiwinb.sandbox.worker import Launcher, call
from kiwinb.steps.step import DraftStep, HostPaths, seal


@pytest.fixture(scope="module")
def launcher() -> Iterator[Launcher]:
    with Launcher(("event_attacks",)) as started:
        yield started


@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense_is_one_error(launcher: Launcher, name: str) -> None:
    with pytest.raises(HostError, match="the worker answered nonsense: ") as caught:
        call(attack, NONSENSE[name], launcher=launcher)
    assert len(str(caught.value)) < 500
    assert caught.value.remedy


@pytest.mark.parametrize("kind", ["log", "result", "error", "progress"])
def test_nothing_is_unpickled(launcher: Launcher, tmp_path: Path, kind: str) -> None:
    marker = tmp_path / "marker"
    with pytest.raises(HostError, match="nonsense"):
        call(attack, framed(pickle.dumps((kind, Opens(str(marker))))), launcher=launcher)
    assert not marker.exists()


def test_half_an_event_is_an_error(launcher: Launcher) -> None:
    with pytest.raises(HostError, match=r"ended early in attack \(status 0\)"):
        call(attack, struct.pack("=Q", 1 << 20), launcher=launcher)


@pytest.mark.parametrize("name", ["SystemExit", "KeyboardInterrupt", "system", "Cancelled"])
def test_only_known_errors_are_raised(launcher: Launcher, name: str) -> None:
    with pytest.raises(RuntimeError, match="forged"):
        call(attack, event_frame("error", {"name": name, "problem": "forged"}), launcher=launcher)


def test_a_flood_of_lines_is_cut(launcher: Launcher) -> None:
    lines: list[str] = []
    assert (
        call(attack, event_frame("log", "y") * 30_000, on_log=lines.append, launcher=launcher) == 7
    )
    assert len(lines) < 29_000
    left_out = [line for line in lines if line != "y"]
    assert sum(int(line.split()[0][1:].replace(",", "")) for line in left_out) == 30_000 - (
        len(lines) - len(left_out)
    )


def test_a_forged_result_is_no_result(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store")
    steps = seal((DraftStep("forge", "Forge", Forge()),))
    with pytest.raises(HostError, match=r"^step forge: .*nonsense: the step is done"):
        run_steps(store, steps, HostPaths(cache=tmp_path))
    assert not store.list()


@pytest.mark.parametrize("name", ["text", "deep", "a second start", "a wrong result"])
def test_the_process_of_an_observed_step(launcher: Launcher, name: str) -> None:
    with pytest.raises(HostError, match="nonsense"):
        call(attack_observer, NONSENSE[name], launcher=launcher)


def test_nothing_of_an_observed_step_is_unpickled(launcher: Launcher, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    with pytest.raises(HostError, match="nonsense"):
        call(attack_observer, framed(pickle.dumps(("log", Opens(str(marker))))), launcher=launcher)
    assert not marker.exists()


ROOTLESS = textwrap.dedent(
    """
    import os, pickle, sys, tempfile
    from kiwinb.errors import HostError
    from kiwinb.sandbox.worker import call
    from event_attacks import NONSENSE, Opens, attack, framed
    marker = os.path.join(tempfile.gettempdir(), f"marker-{os.getpid()}")
    names = ("text", "too long", "a wrong result", "a second start", "a second map")
    attacks = [NONSENSE[name] for name in names]
    attacks.append(framed(pickle.dumps(("log", Opens(marker)))))
    for payload in attacks:
        try:
            call(attack, payload)
        except HostError as error:
            assert "nonsense" in str(error), error
        else:
            raise SystemExit(f"{payload[:50]} was taken")
    print(len(attacks), os.path.exists(marker), os.getuid() == 0)
    """
)


@pytest.mark.account("both")
def test_all_of_this_without_privileges() -> None:
    (user,) = (account for account in accounts() if account.rootless)
    assert user.run(ROOTLESS) == "6 False False\n"
