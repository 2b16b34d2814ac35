"""The panel of steps, and how things look at a prompt and in a notebook."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, cast

import pytest

from kiwinb.checkpoints.store import Store
from kiwinb.errors import CommandError, PackageError, StoreError
from kiwinb.notebook.panel import KEPT, TAIL, Panel, Stopped, watch
from kiwinb.notebook.reprs import Explanation, Steps
from kiwinb.steps.progress import StepEvent
from kiwinb.steps.step import DraftStep, Output, StepContext, seal


@dataclass(frozen=True)
class Nothing:
    name: str
    output: ClassVar[Output] = "tree"
    revision: ClassVar[int] = 1

    def run(self, context: StepContext) -> None:
        raise NotImplementedError


@dataclass(frozen=True)
class Kept:
    bytes: int = 2048


class EmptyStore:
    def get(self, key: str) -> Kept:
        if key == STEPS[2].key:
            raise StoreError("it is gone")
        return Kept()

    def log(self, checkpoint: Kept) -> str:
        return "".join(f"line {number}\n" for number in range(KEPT + 50))


STEPS = seal(
    tuple(
        DraftStep(name, f"Do {name}", Nothing(name), base=base)
        for name, base in (("one", None), ("two", "one"), ("three", "two"), ("other", "one"))
    )
)
STORE = cast(Store, EmptyStore())


@pytest.fixture
def panel() -> Panel:
    return Panel("small", STEPS[:3], STORE)


def test_panel_follows_events(panel: Panel) -> None:
    assert panel.observe(StepEvent(STEPS[0], "held", seconds=3.0))
    assert panel.observe(StepEvent(STEPS[1], "running"))
    assert not panel.observe(StepEvent(STEPS[1], "running", line="unpack <tar>", fraction=0.5))
    assert not panel.observe(StepEvent(STEPS[3], "held"))  # not asked for
    assert panel.fraction == pytest.approx(0.5)
    html = panel.html("target")
    assert "unpack &lt;tar&gt;" in html and "unpack <tar>" not in html
    assert 'class="kiwinb target ' in html and "2.0 KiB" in html
    panel.observe(StepEvent(STEPS[1], "done", seconds=1.5))
    panel.observe(StepEvent(STEPS[2], "done", seconds=1.5))
    panel.end()
    assert panel.summary == "3 of 3 steps, 1 held"
    assert "data-seconds" not in panel.html()
    assert panel.text().splitlines()[1].split() == ["held", "one", "3.0", "s", "2.0", "KiB"]


def test_a_reused_step_counts_as_kept(panel: Panel) -> None:
    panel.observe(StepEvent(STEPS[0], "held", seconds=3.0))
    panel.observe(StepEvent(STEPS[1], "running"))
    panel.observe(StepEvent(STEPS[1], "reused", seconds=20.0))
    assert panel.fraction == pytest.approx(2 / 3)
    assert panel.summary == "2 of 3 steps, 1 held, 1 reused"
    assert 'class="state reused"' in panel.html() and "2.0 KiB" in panel.text().splitlines()[2]
    panel.end(KeyboardInterrupt())
    assert panel.note.startswith("Stopped. 2 of 3 steps are kept")


def test_what_was_not_needed(panel: Panel) -> None:
    panel.observe(StepEvent(STEPS[2], "held"))
    panel.end()
    assert "not needed" in panel.text() and panel.fraction == 1.0


def test_failure_is_told_with_what_is_kept(panel: Panel) -> None:
    panel.observe(StepEvent(STEPS[0], "done"))
    panel.observe(StepEvent(STEPS[1], "running", line="E: no such package"))
    error = PackageError("step two: no such package: nano2", remedy="Did you mean nano?")
    panel.observe(StepEvent(STEPS[1], "failed", error=error))
    panel.end(error)
    html = panel.html()
    assert "Did you mean nano?" in html and "1 of 3 steps are kept" in html
    assert '<details data-step="two" open>' in html
    assert error.is_output_shown


def test_output_is_told_once(panel: Panel) -> None:
    panel.observe(StepEvent(STEPS[1], "running", line="the reason"))
    error = CommandError(["tool"], 4, ("the reason",), remedy="Do it.")
    error.log_file = Path("/store/logs/failed")
    panel.observe(StepEvent(STEPS[1], "failed", error=error))
    panel.end(error)
    assert panel.html().count("<pre>the reason</pre>") == 1
    assert "the reason" not in panel.note
    assert error._render_traceback_() == [
        "CommandError: tool failed (exit status 4): tool",
        "  Do it.",
        "  Its whole log: /store/logs/failed",
    ]
    assert "  | the reason" in str(error)


def test_held_steps_have_their_log(panel: Panel) -> None:
    panel.observe(StepEvent(STEPS[0], "held", seconds=3.0))
    row = panel.rows["one"]
    assert row.lines == KEPT + 50
    assert f"line {KEPT + 49}</pre>" in panel.html()
    assert f"line {KEPT + 50 - TAIL - 1}\n" not in panel.html()
    assert f"… {KEPT + 50 - TAIL} lines before: kiwinb checkpoints log {STEPS[0].key[:12]}" in (
        panel.html()
    )
    panel.end()
    assert "… 50 lines before" in panel.html()


def test_several_steps_run(panel: Panel) -> None:
    for step in STEPS[:2]:
        panel.observe(StepEvent(step, "running", fraction=0.5))
    assert panel.fraction == pytest.approx(1 / 3)
    assert panel.html().count('class="state running"') == 2
    panel.end(KeyboardInterrupt())
    assert panel.note.startswith("Stopped in the steps one, two.")


def test_watch_shows_and_says_how_it_ended(capsys: pytest.CaptureFixture[str]) -> None:
    with watch("small", STEPS, ["two"], STORE) as observe:
        observe(StepEvent(STEPS[0], "held"))
        observe(StepEvent(STEPS[1], "done", seconds=1.0))
    with pytest.raises(PackageError), watch("small", STEPS, ["two"], STORE) as observe:
        raise PackageError("no")
    stopped = pytest.raises(Stopped, match="run the cell again")
    with stopped as caught, watch("small", STEPS, ["two"], STORE) as observe:
        observe(StepEvent(STEPS[0], "held"))
        observe(StepEvent(STEPS[1], "running"))
        raise KeyboardInterrupt
    assert caught.value._render_traceback_() == ["Stopped. Run the cell again to go on."]
    assert isinstance(caught.value, KeyboardInterrupt)
    assert capsys.readouterr().out


def test_steps_and_explanations_look_well_and_iterate() -> None:
    from kiwinb.steps.forecast import StepForecast

    steps = Steps(STEPS)
    assert [step.name for step in steps] == ["one", "two", "three", "other"]
    assert "Do two" in repr(steps) and STEPS[1].key[:12] in steps._repr_html_()
    forecast = Explanation(
        StepForecast(step, step.name == "one", () if step.name == "one" else ("input x changed",))
        for step in STEPS
    )
    noted = Explanation([StepForecast(STEPS[0], True, (), "not run: it <may> say why")])
    assert "held    one              not run: it <may> say why" in repr(noted)
    assert "not run: it &lt;may&gt; say why" in noted._repr_html_()
    assert [item.held for item in forecast] == [True, False, False, False]
    assert "input x changed" in repr(forecast) and "1 of 4 steps are held" in repr(forecast)
    assert "input x changed" in forecast._repr_html_()


def test_errors_show_without_traceback() -> None:
    assert PackageError("no", remedy="do")._render_traceback_() == ["PackageError: no", "  do"]


def test_an_appliance_outside_of_a_notebook_has_no_panel(tmp_path: Path) -> None:
    from kiwinb.build.appliance import Appliance
    from kiwinb.settings import Settings
    from kiwinb.steps.progress import ignore

    settings = Settings(store=tmp_path / "store", cache=tmp_path / "cache")
    data = Path(__file__).parents[1] / "data/descriptions/server"
    appliance = Appliance(data, settings=settings)
    with appliance.session.watched([]) as observer:
        assert observer is ignore
    assert "Package manager" in repr(appliance) and "<table>" in appliance._repr_html_()
