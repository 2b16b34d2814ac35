"""The notebooks of the checkout keep outputs for readers: up to date, small, and of no host."""

from __future__ import annotations

import base64
import getpass
import io
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from PIL import Image
from recipes import write_recipe

from kiwinb.cli import notebooks
from kiwinb.headless.clean_outputs import (
    FORMS,
    Replacement,
    clean_outputs,
    replacements,
)

NOTEBOOKS = sorted(notebooks.DIRECTORY.glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_outputs_are_up_to_date(path: Path) -> None:
    assert [*notebooks.problems(path)] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_outputs_are_static_and_say_nothing_of_a_host(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    assert set(notebook.metadata) <= {"kernelspec", "language_info", "kiwinb-outputs"}
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert all("execution" not in cell.metadata for cell in notebook.cells)
    assert {output.output_type for output in outputs} <= {
        *("stream", "display_data", "execute_result")
    }
    data = [output.get("data", {}) for output in outputs]
    assert {form for item in data for form in item} <= set(FORMS)
    assert path.stem == "tour" or any("image/png" in item for item in data)
    texts = [output.get("text", "") for output in outputs]
    texts += [text for item in data for form, text in item.items() if form.startswith("text/")]
    for text in texts:
        plain = text.replace("<wbr>", "")
        assert not re.search(r"/(home|builds|Users)/\w+/|https?://[\d.]+[:/]|data:image", plain)
        assert not re.search(r"kiwinb-notebooks-|/notebooks/\.\./|\w/out/[\w-]+/", plain)


def _png(mode: str, colour: tuple[int, ...]) -> str:
    """A picture with many colours, in Base64."""
    picture = Image.new(mode, (300, 300), colour)
    for x in range(300):
        for y in range(300):
            shade = (x % 256, y % 256, (x * y) % 256, colour[-1])
            picture.putpixel((x, y), shade[: len(colour)])
    file = io.BytesIO()
    picture.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def _picture(png: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(png)))


PNG = _png("RGB", (0, 0, 0))
PANEL = (
    "<style>.kiwinb { color: red }</style><div class='kiwinb'><h4>x</h4><table><tr>"
    '<td style="text-align:right">1</td><td>Install <details data-step="packages" open>'
    "<summary>Get:1 http://10.0.0.1/debian</summary><pre>a log</pre></details></td></tr></table>"
    "</div>"
)
STYLED = (
    '<style type="text/css">\n#T_0123 th {\n  text-align: left;\n}\n</style>\n<table id="T_0123">'
    '<tr><td id="T_0123_row0_col0" class="data row0 col0" >v</td></tr></table>'
)


def _cleaned(*outputs: nbformat.NotebookNode, hidden: tuple[Replacement, ...] = ()) -> list[Any]:
    cell = nbformat.v4.new_code_cell("1", outputs=list(outputs), metadata={"execution": {"a": "b"}})
    notebook = nbformat.v4.new_notebook(cells=[cell], metadata={"widgets": {"state": {}}})
    clean_outputs(notebook, hidden)
    nbformat.validate(notebook)
    assert "widgets" not in notebook.metadata
    assert cell.metadata == {}
    return list(cell.outputs)


def _html(html: str, **others: str) -> nbformat.NotebookNode:
    data = {"text/html": html, "text/plain": "in words", **others}
    output: nbformat.NotebookNode = nbformat.v4.new_output(
        "execute_result", data=data, execution_count=3
    )
    return output


def test_a_page_has_each_style_sheet_once_and_no_logs() -> None:
    first, second = _cleaned(_html(PANEL), _html(PANEL))
    assert first.data["text/html"].count("<style>") == 1
    assert "<style>" not in second.data["text/html"]
    assert "log" not in first.data["text/html"] and "http" not in first.data["text/html"]
    assert '<td align="right" style="text-align:right">1</td>' in second.data["text/html"]
    assert second.execution_count == 3


def test_tables_of_pandas_lose_their_style_sheet_and_keep_their_alignment() -> None:
    [output] = _cleaned(_html(STYLED))
    expected = '<table><tr><td align="left" style="text-align:left">v</td></tr></table>'
    assert output.data["text/html"].strip() == expected


def test_pictures_in_html_become_outputs_of_their_own() -> None:
    html = (
        f'<p>before</p><figure><img alt="a" src="data:image/png;base64,{PNG}"></figure><p>after</p>'
    )
    picture, rest = _cleaned(_html(html))
    assert picture.output_type == "display_data"
    assert _picture(picture.data["image/png"]).size == (300, 300)
    assert picture.data["text/plain"] == "in words"
    assert rest.data["text/html"] == "<p>before</p><p>after</p>"


@pytest.mark.parametrize(
    ("mode", "colour", "is_reduced"),
    [("RGB", (0, 0, 0), True), ("RGBA", (0, 0, 0, 255), True), ("RGBA", (0, 0, 0, 9), False)],
)
def test_opaque_pictures_are_reduced_to_256_colours(
    mode: str, colour: tuple[int, ...], is_reduced: bool
) -> None:
    before = _png(mode, colour)
    output = nbformat.v4.new_output("display_data", data={"image/png": before, "text/plain": "x"})
    [cleaned] = _cleaned(output)
    after = cleaned.data["image/png"]
    assert (len(after) < len(before)) == is_reduced
    assert (_picture(after).mode == "P") == is_reduced
    shades = zip(
        _picture(before).convert("RGB").tobytes(),
        _picture(after).convert("RGB").tobytes(),
        strict=True,
    )
    assert max(abs(one - other) for one, other in shades) < 90  # far from one another even here


def test_widgets_and_standard_error_are_left_out() -> None:
    widget = {"application/vnd.jupyter.widget-view+json": {"model_id": "x"}, "text/plain": "W()"}
    outputs = (
        nbformat.v4.new_output("display_data", data=widget),
        nbformat.v4.new_output("display_data", data={"application/json": {}}),
        nbformat.v4.new_output("stream", name="stderr", text="WARNING: old"),
        nbformat.v4.new_output("stream", name="stdout", text="said\n"),
    )
    shown, said = _cleaned(*outputs)
    assert dict(shown.data) == {"text/plain": "W()"}
    assert said.text == "said\n"


def test_paths_times_addresses_and_mirrors_are_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[mirrors]\ndebian = "http://proxy.example:3142/debian"\n')
    monkeypatch.setenv("KIWINB_CONFIG", str(config))
    monkeypatch.setenv("KIWINB_STORE", "/srv/kept/store")
    monkeypatch.setenv("KIWINB_CACHE", "/srv/kept/cache")
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setattr("socket.gethostname", lambda: "builder7")
    monkeypatch.setattr("getpass.getuser", lambda: "somebody")
    text = (
        "/home/somebody/kiwinb/notebooks/../out/image.raw in /home/somebody/kiwinb\n"
        "/srv/kept/store/x\n"
        "/srv/kept/cache/y http://proxy.example:3142/debian/pool\n"
        "<object at 0x7f00aa12bb> made 2026-01-02T03:04:05+00:00, 2026-01-02 03:04:05.678 UTC\n"
        "on builder7 by somebody in /home/somebody/.config; a version 2026-01-02 stays\n"
    )
    output = nbformat.v4.new_output("stream", name="stdout", text=text)
    [cleaned] = _cleaned(output, hidden=replacements(Path("/home/somebody/kiwinb/notebooks")))
    assert cleaned.text == (
        "out/image.raw in .\n~/.cache/kiwinb/store/x\n"
        "~/.cache/kiwinb/downloads/y mirror:debian/pool\n"
        "<object at 0x…> made …, …\n"
        "on host by user in ~/.config; a version 2026-01-02 stays\n"
    )
    assert getpass.getuser() == "somebody"


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of notebooks with one in it."""
    directory = tmp_path / "notebooks"
    write_recipe(
        directory / "a.ipynb",
        "n = 1",
        "# Here",
        "from pathlib import Path\nimport sys\nprint(Path.cwd(), n); print('x', file=sys.stderr)",
    )
    (directory / "a").mkdir()
    (directory / "a/config.xml").write_text("<image/>")
    monkeypatch.setattr(notebooks, "DIRECTORY", directory)
    return directory


def test_the_command_executes_what_is_out_of_date(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = checkout / "a.ipynb"
    before = nbformat.read(path, as_version=4)
    assert notebooks.main(["--check"]) == 1
    assert "it has no outputs for readers" in capsys.readouterr().err
    assert notebooks.main([]) == 0
    assert [*notebooks.problems(path)] == []
    after = nbformat.read(path, as_version=4)
    assert [cell.source for cell in after.cells] == [cell.source for cell in before.cells]
    assert [cell.metadata for cell in after.cells] == [cell.metadata for cell in before.cells]
    [output] = after.cells[2].outputs
    assert output.text == "notebooks 1\n"
    assert after.cells[2].execution_count == 2
    assert set(after.metadata) == {"kiwinb-outputs"}
    written = path.read_bytes()
    assert notebooks.main([]) == 0
    assert path.read_bytes() == written
    assert notebooks.main(["--check"]) == 0
    assert notebooks.main(["nonesuch"]) == 2


def test_what_makes_outputs_out_of_date(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = checkout / "a.ipynb"
    notebooks.execute(path)
    kept = path.read_text()

    (checkout / "a/config.xml").write_text("<image name='x'/>")
    assert [*notebooks.problems(path)] == [
        "its code or its description has changed since it was executed"
    ]
    (checkout / "a/config.xml").write_text("<image/>")
    (checkout / "a/new").touch()
    assert len([*notebooks.problems(path)]) == 1
    (checkout / "a/new").unlink()

    path.write_text(kept.replace("n = 1", "n = 2"))
    assert len([*notebooks.problems(path)]) == 1
    path.write_text(kept.replace("# Here", "# There"))  # readers see it anyway
    assert [*notebooks.problems(path)] == []
    path.write_text(kept.replace("notebooks 1", "/home/somebody/notebooks 1"))
    assert [*notebooks.problems(path)] == [
        "its outputs were changed, perhaps saved from JupyterLab"
    ]
    path.write_text(kept)
    monkeypatch.setattr(notebooks, "LIMIT", 100)
    assert ["more than 100" in problem for problem in notebooks.problems(path)] == [True]
    monkeypatch.setattr(notebooks, "LIMIT", 300_000)
    monkeypatch.setattr(notebooks, "__version__", "99")
    assert ["this is 99" in problem for problem in notebooks.problems(path)] == [True]


def test_a_notebook_that_fails_stays_as_it_was(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = checkout / "a.ipynb"
    write_recipe(path, "1/0")
    before = path.read_bytes()
    assert notebooks.main(["a"]) == 1
    assert "ZeroDivisionError" in capsys.readouterr().err
    assert path.read_bytes() == before
