"""Descriptions that include others."""

from __future__ import annotations

from pathlib import Path

import pytest
from descriptions import document

from kiwinb.description.document import Document
from kiwinb.description.select import select
from kiwinb.errors import DescriptionError


def _read(directory: Path, name: str, **files: str) -> Document:
    for file, text in files.items():
        path = directory / file.replace("__", "/")
        path = path.with_suffix(".xml")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"<image>{text}</image>")
    return document(directory, f'<include from="{name}"/>')


def _package(name: str) -> str:
    return f'<packages type="image"><package name="{name}"/></packages>'


@pytest.mark.parametrize("form", ["this://{}", "file://{}", "{}"])
def test_an_included_file_includes_others(tmp_path: Path, form: str) -> None:
    read = _read(
        tmp_path,
        form.format("sub/a.xml"),
        sub__a=f'<include from="{form.format("sub/b.xml")}"/>'
        f'<include from="{form.format("c.xml")}"/>' + _package("a"),
        sub__b=_package("b"),
        sub__c=_package("beside"),
        other=_package("other"),
    )
    assert select(read).packages.image.packages == ("b", "beside", "a", "bash")
    assert [file.name for file in read.files] == ["config.xml", "a.xml", "b.xml", "c.xml"]


def test_a_file_of_the_description_goes_before_one_beside_the_includer(tmp_path: Path) -> None:
    read = _read(
        tmp_path,
        "sub/a.xml",
        sub__a='<include from="b.xml"/>',
        b=_package("of-the-description"),
        sub__b=_package("beside"),
    )
    assert select(read).packages.image.packages == ("of-the-description", "bash")


def test_a_circle_of_includes(tmp_path: Path) -> None:
    with pytest.raises(DescriptionError, match=r"a\.xml includes itself") as caught:
        _read(tmp_path, "a.xml", a='<include from="b.xml"/>', b='\n<include from="a.xml"/>')
    assert caught.value.location is not None
    assert (caught.value.location.file.name, caught.value.location.line) == ("b.xml", 2)


def test_an_included_file_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(DescriptionError, match=r"the included file .*b\.xml does not exist"):
        _read(tmp_path, "a.xml", a='<include from="b.xml"/>')
