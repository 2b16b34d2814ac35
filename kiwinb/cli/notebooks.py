"""Execute the notebooks of a checkout, and keep their outputs in them.

Whoever reads a notebook on a code host sees its outputs without running it.
``python -m kiwinb.cli.notebooks NAME …`` executes notebooks of ``notebooks/`` and writes their
outputs back, reduced to what readers need; without names, it takes those whose outputs are out of
date. It builds into an empty checkpoint store, which it removes afterwards. With ``--check``, it
executes nothing, names the notebooks that are out of date, and exits with status 1 if there are
any.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import nbformat

from kiwinb.errors import KiwinbError
from kiwinb.files import replace_file
from kiwinb.headless.resume import OUTPUTS, remove_markers
from kiwinb.version import __version__

DIRECTORY = Path(__file__).parents[2] / "notebooks"
"""Their directory in a checkout."""

LIMIT = 300_000
"""Largest size of a notebook in bytes; code hosts do not show large ones."""


def inputs_digest(notebook: nbformat.NotebookNode, path: Path) -> str:
    """Compute the SHA-256 of what determines the outputs of a notebook.

    These are the sources of its code cells, and the files of the directory with its name.

    Args:
        notebook: The notebook.
        path: Path of the notebook.
    """
    found = hashlib.sha256()
    sources = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    found.update(json.dumps(sources).encode())
    directory = path.with_suffix("")
    for file in sorted(directory.rglob("*")):
        if file.is_file():
            name = file.relative_to(directory).as_posix()
            found.update(f"\n{name}\n{hashlib.sha256(file.read_bytes()).hexdigest()}".encode())
    return found.hexdigest()


def outputs_digest(notebook: nbformat.NotebookNode) -> str:
    """Compute the SHA-256 of the outputs of a notebook."""
    outputs = [
        (cell.execution_count, cell.outputs) for cell in notebook.cells if cell.cell_type == "code"
    ]
    return hashlib.sha256(json.dumps(outputs, sort_keys=True).encode()).hexdigest()


def problems(path: Path) -> Iterator[str]:
    """Yield in which respects the outputs of a notebook are out of date; executes nothing."""
    notebook = nbformat.read(path, as_version=4)
    noted = notebook.metadata.get(OUTPUTS)
    if noted is None:
        yield "it has no outputs for readers"
        return
    if noted["inputs"] != inputs_digest(notebook, path):
        yield "its code or its description has changed since it was executed"
    if noted["version"] != __version__:
        yield f"it was executed with kiwinb {noted['version']}, this is {__version__}"
    if noted["outputs"] != outputs_digest(notebook):
        yield "its outputs were changed, perhaps saved from JupyterLab"
    if path.stat().st_size > LIMIT:
        yield f"it has {path.stat().st_size:,} bytes, more than {LIMIT:,}"


def execute(path: Path) -> None:
    """Execute a notebook, and write its outputs back.

    Raises:
        NotebookError: The run fails; the notebook stays as it was.
    """
    from kiwinb.headless.clean_outputs import clean_outputs, replacements
    from kiwinb.headless.run import run_notebook

    notebook = remove_markers(nbformat.read(path, as_version=4))
    with tempfile.TemporaryDirectory(prefix="kiwinb-notebooks-") as scratch:
        run = run_notebook(path, output=Path(scratch) / path.name)
        if error := run.error():
            raise error
        executed = nbformat.read(run.output, as_version=4)
    clean_outputs(executed, replacements(path.resolve().parent))
    code = (cell for cell in executed.cells if cell.cell_type == "code")
    for cell in notebook.cells:
        if cell.cell_type == "code":
            made = next(code)
            cell.update(outputs=made.outputs, execution_count=made.execution_count)
    notebook.metadata[OUTPUTS] = {
        "inputs": inputs_digest(notebook, path),
        "outputs": outputs_digest(notebook),
        "version": __version__,
    }
    replace_file(path, f"{nbformat.writes(notebook).rstrip()}\n")


def main(arguments: Sequence[str]) -> int:
    """Execute or check notebooks.

    Args:
        arguments: ``--check`` or names of notebooks.

    Returns:
        The exit status: 1 if a notebook is out of date or too large, or its run fails.
    """
    known = {path.stem: path for path in sorted(DIRECTORY.glob("*.ipynb"))}
    check = [*arguments] == ["--check"]
    if not check and not set(arguments) <= known.keys():
        names = " ".join(known)
        print(
            f"usage: python -m kiwinb.cli.notebooks [--check | NAME …]; of: {names}",
            file=sys.stderr,
        )
        return 2
    if check:
        is_outdated = _report(known.values())
        if is_outdated:
            print("python -m kiwinb.cli.notebooks executes them.", file=sys.stderr)
        return int(is_outdated)
    outdated = [path for path in known.values() if any(problems(path))]
    chosen = [known[name] for name in arguments] or outdated
    try:
        with _fresh_store():
            for path in chosen:
                print(f"{path}: executing it", file=sys.stderr)
                execute(path)
    except KiwinbError as error:
        print(error, file=sys.stderr)
        return 1
    return int(_report(chosen))


@contextmanager
def _fresh_store() -> Iterator[None]:
    """Set an empty checkpoint store, so that readers see what a first build does."""
    from kiwinb.checkpoints.store import open_store
    from kiwinb.settings import load_settings

    usual = load_settings().store
    usual.parent.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="kiwinb-notebooks-", dir=usual.parent) as scratch,
        _set_variable("KIWINB_STORE", f"{scratch}/store"),
    ):
        try:
            yield
        finally:
            store = open_store(load_settings())
            store.remove(checkpoint.key for checkpoint in store.list())


@contextmanager
def _set_variable(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _report(paths: Iterable[Path]) -> bool:
    """Print all problems; return whether there are any."""
    found = [(path, problem) for path in paths for problem in problems(path)]
    for path, problem in found:
        print(f"{path}: {problem}", file=sys.stderr)
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
