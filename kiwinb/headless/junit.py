"""Write runs as JUnit XML, with a test case for each code cell and each expectation.

Source of the format: https://github.com/testmoapp/junitxml, which documents what CI systems
support.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree as ET

from kiwinb.files import replace_file
from kiwinb.headless.result import Cell, Expectation, Failure, NotebookRun
from kiwinb.visible import visible


def write_junit(file: Path, runs: Iterable[tuple[str, NotebookRun]]) -> None:
    """Write a test suite for each run.

    Args:
        file: The file to write; an existing one is replaced.
        runs: Name of each suite, and its run.
    """
    root = ET.Element("testsuites", name="kiwinb")
    suites = [_suite(_legal(name), run) for name, run in runs]
    root.extend(suites)
    for count in ("tests", "failures", "errors", "skipped"):
        root.set(count, str(sum(int(suite.get(count, "0")) for suite in suites)))
    root.set("time", f"{sum(float(suite.get('time', '0')) for suite in suites):.3f}")
    ET.indent(root)
    file.parent.mkdir(parents=True, exist_ok=True)
    replace_file(file, ET.tostring(root, encoding="utf-8", xml_declaration=True))


def _suite(name: str, run: NotebookRun) -> ET.Element:
    cases = [_cell_case(name, run, cell) for cell in run.cells]
    cases += [_expectation_case(name, item) for item in run.expectations]
    if run.failure is not None and run.failure.cell is None:
        case = ET.Element("testcase", classname=name, name="run", time="0.000")
        case.append(_failed(run.failure))
        cases.append(case)
    suite = ET.Element(
        "testsuite",
        name=name,
        file=_legal(os.fspath(run.recipe)),
        timestamp=run.started.partition("+")[0],
        time=f"{run.seconds:.3f}",
        tests=str(len(cases)),
        failures=str(sum(case.find("failure") is not None for case in cases)),
        errors=str(sum(case.find("error") is not None for case in cases)),
        skipped=str(sum(case.find("skipped") is not None for case in cases)),
    )
    properties = ET.SubElement(suite, "properties")
    for key, value in (
        ("output", str(run.output)),
        *((f"parameter:{parameter}", value) for parameter, value in run.parameters.items()),
    ):
        ET.SubElement(properties, "property", name=_legal(key), value=_legal(value))
    suite.extend(cases)
    return suite


def _cell_case(suite: str, run: NotebookRun, cell: Cell) -> ET.Element:
    case = ET.Element(
        "testcase",
        classname=suite,
        name=_legal(f"[{cell.number}] {cell.title}"),
        time=f"{cell.seconds or 0.0:.3f}",
    )
    failure = run.failure
    if failure is not None and failure.cell == cell.number and failure.kind != "expectation":
        case.append(_failed(failure))
        if failure.log:
            ET.SubElement(case, "system-out").text = _legal("\n".join(failure.log))
    elif cell.state in ("pending", "running"):
        ended = f"cell {run.ended} ended the run"
        message = "the run ended before it" if run.ended is None else ended
        ET.SubElement(case, "skipped", message=message)
    elif run.ended == cell.number:
        ET.SubElement(case, "system-out").text = "It ended the run."
    elif cell.state == "resumed":
        text = "It ran before, and was executed again for the cells after it."
        ET.SubElement(case, "system-out").text = text
    return case


def _failed(failure: Failure) -> ET.Element:
    """Make a ``failure`` if the code of the cell is the reason, or an ``error`` otherwise."""
    element = ET.Element(
        "failure" if failure.kind in ("error", "exit") else "error",
        type=failure.kind,
        message=_legal(failure.problem.splitlines()[0]),
    )
    element.text = _legal("\n".join([failure.problem, *failure.traceback]))
    return element


def _expectation_case(suite: str, item: Expectation) -> ET.Element:
    case = ET.Element(
        "testcase",
        classname=f"{suite}.expectations",
        name=_legal(f"[{item.cell}] {item.what}"),
        time="0.000",
    )
    properties = ET.SubElement(case, "properties")
    for key, value in (("expected", item.expected), ("measured", item.measured)):
        ET.SubElement(properties, "property", name=key, value=_legal(value))
    if not item.passed:
        message = _legal(f"{item.what}: expected {item.expected}, measured {item.measured}")
        ET.SubElement(case, "failure", type="expectation", message=message).text = message
    return case


def _legal(text: str) -> str:
    """Escape what nobody can see; among it are all characters that XML does not allow."""
    return visible(text, lines=True)
