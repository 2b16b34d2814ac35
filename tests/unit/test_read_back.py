"""Files and answers that other processes may have written are checked when they are read back."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from event_attacks import Opens

from kiwinb.checkpoints.checkpoint import FILE, Checkpoint, read_checkpoint, write_checkpoint
from kiwinb.checkpoints.seal import Seal, write_seal
from kiwinb.checkpoints.stamps import Stamps
from kiwinb.errors import HostError, ImageError, KiwinbError, NotebookError, StoreError
from kiwinb.headless.records import EXPECTATIONS_VARIABLE, Records
from kiwinb.headless.result import Cell, Expectation, Failure, NotebookRun, to_record
from kiwinb.headless.resume import RECORD, read_former
from kiwinb.headless.run import Limits
from kiwinb.matrix.cell import Job, Outcome, read_outcome
from kiwinb.matrix.matrix import MatrixCell
from kiwinb.matrix.pool import LocalPool
from kiwinb.results.artefacts import RECORD_VARIABLE, Artefact
from kiwinb.results.exported import EXPORT_FOLDER, read_export
from kiwinb.results.record import RECORD as RESULT_RECORD
from kiwinb.results.record import BuildResult, DeliveredFile, ImageFacts, list_results, to_text
from kiwinb.steps.recorded import RECORD_VARIABLE as STEPS_VARIABLE
from kiwinb.typed_json import dumps

RUN = NotebookRun(
    recipe=Path("r.ipynb"),
    output=Path("o.ipynb"),
    state="failed",
    parameters={"a": "1"},
    cells=(Cell(1, "One", "0" * 64, "done", 1.5), Cell(2, "Two", "1" * 64, "failed")),
    expectations=(Expectation("size", "1", "2", False, 1),),
    artefacts=(Artefact(Path("image"), "image", 1),),
    failure=Failure("error", 2, "bad", ("a",), ("b",), 3),
    ended=None,
)

SECRET = bytes(32)
CHECKPOINT = Checkpoint(
    key="ab" * 32,
    name="base",
    title="Base",
    output="tree",
    base="cd" * 32,
    needs={"list": "ef" * 32},
    inputs={"x": "00" * 32},
    created="2026-01-01",
    seconds=1.0,
    bytes=5,
    version="1",
    manifest="12" * 32,
    files={"a": "34" * 32},
)

RESULT = BuildResult(
    Path("out"),
    ImageFacts("name", "1.0", "x86_64", "oem", ("a",)),
    (DeliveredFile("disk_image", "it.raw", True, False, True, "k", 5, "s", 6, 7),),
)

EXPORT = {"arch": "x86_64", "epoch": 5, "overrides": {"add_package": ["less"]}}


def damaged(data: Any) -> Iterator[Any]:
    """The data with each of its parts replaced by something of another type, or removed."""
    for other in (None, True, 7, -1, "x", [7], {"x": 7}, [["a"]]):
        if type(other) is not type(data) or other != data:
            yield other
    if isinstance(data, dict):
        for name, item in data.items():
            yield {key: value for key, value in data.items() if key != name}
            yield from ({**data, name: other} for other in damaged(item))
    if isinstance(data, list):
        for number, item in enumerate(data):
            yield from ([*data[:number], other, *data[number + 1 :]] for other in damaged(item))


def _check(data: Any, read: Callable[[Any], object], kind: type[KiwinbError]) -> None:
    """Read all damaged forms of data; some are no worse than the data, all others one error."""
    refused = 0
    read(data)
    for other in damaged(data):
        try:
            read(other)
        except kind as error:
            refused += 1
            assert error.remedy or isinstance(error, NotebookError)
            assert len(str(error)) < 1000
    assert refused > 40


def test_records_of_runs(tmp_path: Path) -> None:
    file = tmp_path / "o.ipynb"

    def read(data: Any) -> object:
        cells = [nbformat.v4.new_code_cell() for _cell in RUN.cells]
        notebook = nbformat.v4.new_notebook(cells=cells)
        notebook.metadata[RECORD] = data
        file.write_text(json.dumps(notebook))
        former = read_former(file)
        assert former is not None
        return former.first, former.is_done_with(2), former.run.error(), former.run.early_end

    _check(json.loads(json.dumps(to_record(RUN))), read, NotebookError)


@pytest.mark.parametrize("name", ["ended", "cell"])
def test_cells_that_a_run_does_not_have(tmp_path: Path, name: str) -> None:
    record = to_record(RUN)
    record |= {"ended": 99} if name == "ended" else {"failure": {**record["failure"], "cell": 0}}
    notebook = nbformat.v4.new_notebook()
    notebook.metadata[RECORD] = json.loads(json.dumps(record))
    (tmp_path / "o.ipynb").write_text(json.dumps(notebook))
    with pytest.raises(NotebookError, match="not the output of a run"):
        read_former(tmp_path / "o.ipynb")


def _rewritten(directory: Path, data: Any) -> Checkpoint:
    """Read a checkpoint whose metadata somebody wrote who has the secret of the store."""
    text = json.dumps(data).encode()
    place = directory / ("ab" * 32)
    place.mkdir(exist_ok=True)
    (place / FILE).write_bytes(text)
    seal = Seal("ab" * 32, hashlib.sha256(text).hexdigest(), "", Stamps("", ""))
    write_seal(seal.signed(SECRET), place)
    return read_checkpoint(place, SECRET)


def test_checkpoints(tmp_path: Path) -> None:
    write_checkpoint(CHECKPOINT, tmp_path)
    data = json.loads((tmp_path / FILE).read_text())
    _check(data, lambda other: _rewritten(tmp_path, other), StoreError)


@pytest.mark.parametrize("name", ["base", "reused", "needs"])
def test_keys_do_not_lead_out_of_the_store(tmp_path: Path, name: str) -> None:
    write_checkpoint(CHECKPOINT, tmp_path)
    data = json.loads((tmp_path / FILE).read_text())
    data[name] = {"list": "../../x"} if name == "needs" else "../../x"
    with pytest.raises(StoreError, match="not a digest"):
        _rewritten(tmp_path, data)


def test_records_of_results(tmp_path: Path) -> None:
    def read(data: Any) -> object:
        (tmp_path / RESULT_RECORD).write_text(json.dumps(data))
        return repr(list_results(tmp_path))

    data = json.loads(to_text(RESULT))
    read(data)
    refused = 0
    for other in damaged(data):
        try:
            read(other)
        except ImageError:
            refused += 1
    assert refused > 100


def test_records_of_prepared_trees(tmp_path: Path) -> None:
    (tmp_path / EXPORT_FOLDER).mkdir()

    def read(data: Any) -> object:
        (tmp_path / EXPORT_FOLDER / "kiwinb.json").write_text(json.dumps(data))
        return read_export(tmp_path)

    _check(EXPORT, read, ImageError)


JOB = Job(MatrixCell("cell", Path("r.ipynb"), {}), Path("d"), "t", Limits(), None, Path("stop"))


def test_outcomes_of_cells() -> None:
    outcome = Outcome("cell", RUN, "host", "image", 5, 6, {"bash": "1"})
    text = dumps(outcome)
    assert read_outcome(text, JOB) == outcome
    lost = 0
    for other in damaged(json.loads(text)):
        found = read_outcome(json.dumps(other), JOB)
        assert found.name == "cell"
        lost += found.run.failure is not None and "nonsense" in found.run.failure.problem
    assert lost > 100
    for answer in (outcome, None, b"x", "x" * (33 << 20)):
        failure = read_outcome(answer, JOB).run.failure
        assert failure is not None
        assert failure.problem.startswith("its worker answered nonsense: ")


def _seven() -> str:
    return 7  # type: ignore[return-value]


def _opens(marker: str) -> object:
    return Opens(marker)


def test_answers_of_processes_of_a_pool(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    with LocalPool(1) as pool:
        with pytest.raises(HostError, match="answered nonsense: text is needed, not 7"):
            pool.submit(_seven).result()
        assert pool.submit(_opens, str(marker)).result() == {"marker": str(marker)}
    assert not marker.exists()


@pytest.mark.parametrize("variable", [RECORD_VARIABLE, EXPECTATIONS_VARIABLE])
@pytest.mark.parametrize(
    "line",
    [
        b"5",
        b"[]",
        b'"path what"',
        b"{}",
        b'{"path": 5, "what": 5}',
        b'{"path": ["a"], "what": "x", "passed": "yes"}',
        b"[" * 100_000,
        b"x" * 1_000_000,
        pickle.dumps({"path": "x"}, 0).replace(b"\n", b" "),
    ],
)
def test_records_of_cells(tmp_path: Path, variable: str, line: bytes) -> None:
    records = Records(tmp_path)
    Path(records.environment[variable]).write_bytes(line + b"\n")
    with pytest.raises(NotebookError, match="a cell wrote an invalid record") as caught:
        records.artefacts(1)
        records.expectations(1)
    assert len(str(caught.value)) < 600


def test_a_flood_of_records_is_read_in_parts(tmp_path: Path) -> None:
    records = Records(tmp_path)
    file = Path(records.environment[STEPS_VARIABLE])
    file.write_bytes(b"x" * (40 << 20))
    for _part in range(5):
        assert records.steps() == ()
    step = {"build": ["image", 1], "step": "a", "title": "A", "state": "done"}
    with file.open("ab") as stream:
        stream.write(f"\n{json.dumps(step)}\n{json.dumps({**step, 'state': 5})}\n".encode())
    found = [record for _part in range(3) for record in records.steps()]
    assert [record.state for record in found] == ["done"]
