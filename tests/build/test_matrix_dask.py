"""A matrix on a Dask cluster, one worker of which is killed."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import nbformat
import pytest
from distributed import LocalCluster
from recipes import write_recipe
from small_build import write_description

from kiwinb.matrix.matrix import read_matrix
from kiwinb.matrix.pool import open_pool
from kiwinb.matrix.run import run_matrix

pytestmark = pytest.mark.build

CELLS = (
    "description = ''\ntarget_dir = ''",
    """\
import json, os, time
from pathlib import Path
from kiwinb import Appliance
events = []
appliance = Appliance(description, observer=events.append)
appliance.run_until("overlay")
def steps():
    return {e.step.name: e.state for e in events if e.state in ("held", "done")}
with Path(target_dir, "steps").open("a") as log:
    log.write(json.dumps(steps()) + "\\n")
""",
    """\
mark = Path(target_dir, "worker")
if not mark.exists():
    mark.write_text(str(os.getppid()))
    if Path(description).parent.name == "1":
        time.sleep(600)
""",
    """\
root = appliance.prepare()
print(root.step.key, len(root.packages()))
""",
)


def _kill_worker(mark: Path) -> None:
    while not (mark.exists() and mark.read_text()):
        time.sleep(0.1)
    os.kill(int(mark.read_text()), signal.SIGKILL)


def test_all_cells_finish_when_a_worker_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KIWINB_STORE", str(tmp_path / "store"))
    write_recipe(tmp_path / "recipe.ipynb", *CELLS)
    descriptions = []
    for n in range(6):
        descriptions.append(str(write_description(tmp_path / str(n))))
        (tmp_path / f"{n}/description/root/etc/motd").write_text(f"cell {n}\n")
    file = tmp_path / "matrix.toml"
    file.write_text(
        f'[[recipe]]\npath = "recipe.ipynb"\n[parameters]\ndescription = {descriptions}\n'
    )
    matrix = read_matrix(file)
    out = tmp_path / "out"
    victim = out / matrix.cells[1].name
    killer = threading.Thread(target=_kill_worker, args=(victim / "worker",), daemon=True)
    killer.start()
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        open_pool(1, cluster.scheduler_address) as pool,
    ):
        before = {str(worker["id"]) for worker in cluster.scheduler_info["workers"].values()}
        outcomes = run_matrix(matrix, out, pool)
        assert len(before) == 2
    killer.join(timeout=1)
    assert not killer.is_alive()
    assert [outcome.run.state for outcome in outcomes] == ["passed"] * 6

    # The killed cell went on at its third cell, in another process, from its checkpoints.
    assert [outcome.run.resumed for outcome in outcomes] == [None, 4, None, None, None, None]
    first, second = (victim / "steps").read_text().splitlines()
    assert '"overlay": "done"' in first
    assert '"done"' not in second

    # What the cells share was made once.
    logs = [(out / cell.name / "steps").read_text() for cell in matrix.cells]
    assert sum('"bootstrap": "done"' in log for log in logs) == 1
    workers = {(out / cell.name / "worker").read_text() for cell in matrix.cells}
    assert len(workers) >= 2
    printed = {
        nbformat.read(outcome.run.output, as_version=4).cells[-1].outputs[0].text
        for outcome in outcomes
    }
    assert len(printed) == 6  # six trees, one for each message of the day
