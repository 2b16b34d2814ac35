"""A build from a metalink whose mirrors are not all what they should be."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from made import Made, made
from mirror_server import REPOMD, Mirrors, metalink, serving
from small_build import write_description

from kiwinb.build.appliance import Appliance
from kiwinb.settings import Settings
from kiwinb.steps.progress import StepEvent

pytestmark = [pytest.mark.build, pytest.mark.account("root")]


def build(directory: Path, description: Path, server: Mirrors) -> tuple[Path, Sequence[str]]:
    """Build from the list on a server; return the archive and the steps that ran."""
    events: list[StepEvent] = []
    settings = Settings(
        store=directory / "store", cache=directory / "cache", mirrors={"lists": (server.url,)}
    )
    appliance = Appliance(description, settings=settings).observed_by(events.append)
    image = appliance.build(directory / "out")
    return image.path, [event.step.name for event in events if event.state == "done"]


def serve(server: Mirrors, distribution: Made, names: Sequence[str]) -> None:
    """Serve a list of mirrors; one is empty, one is tampered with, and one has no packages."""
    index = (distribution.root / REPOMD).read_bytes()
    server.places["good"] = distribution.root
    server.places["tampered"] = lambda path: index + b"\n" if path == REPOMD else None
    server.places["bare"] = lambda path: (
        None if path.endswith(".rpm") else (distribution.root / path).read_bytes()
    )
    urls = {f"{server.url}/{name}": 100 - number for number, name in enumerate(names)}
    server.places["metalink"] = metalink(urls, index)


@pytest.mark.needs("dnf", "rpmbuild", "createrepo_c", "curl")
@pytest.mark.proves("package manager", "dnf4", "sourcetype")
def test_a_build_from_a_metalink(tmp_path: Path) -> None:
    distribution = made("fedora")
    description = write_description(tmp_path, manager="dnf4")
    text, place = (description / "config.xml").read_text(), f"dir:{distribution.root}"
    assert place in text and 'alias="main"' in text
    text = text.replace(place, "mirror:lists/metalink?repo=test&amp;arch=%arch")
    text = text.replace('alias="main"', 'alias="own" sourcetype="metalink"')
    (description / "config.xml").write_text(text)
    with serving() as server:
        serve(server, distribution, ["empty", "tampered", "bare", "good"])
        archive, ran = build(tmp_path, description, server)
        assert "bootstrap" in ran and archive.stat().st_size
        assert "/metalink?repo=test&arch=x86_64" in server.asked
        packages = [path for path in server.asked if path.endswith(".rpm")]
        assert {path.split("/")[1] for path in packages} == {"bare", "good"}
        server.asked.clear()
        assert build(tmp_path, description, server) == (archive, [])
        assert not server.asked, "what was read is kept"
    with serving() as other:
        serve(other, distribution, ["good"])
        assert build(tmp_path, description, other) == (archive, []), "no step runs for a new mirror"
        assert f"/good/{REPOMD}" in other.asked
