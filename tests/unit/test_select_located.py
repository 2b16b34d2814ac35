"""Relative paths of options start at the working directory, those of descriptions at theirs."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from click.testing import CliRunner
from descriptions import document

from kiwinb.build.session import open_session
from kiwinb.cli import app
from kiwinb.description.located import located
from kiwinb.description.override import Overrides, parse_repository
from kiwinb.images.container.base import local_archive
from kiwinb.packages.mirrors import resolve
from kiwinb.settings import Settings

HERE = Path("/srv/a b")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("repo", "/srv/a b/repo"),
        ("./repo,apt-deb,own", "/srv/a b/repo,apt-deb,own"),
        ("/abs/repo", "/abs/repo"),
        ("dir:repo", "dir:/srv/a%20b/repo"),
        ("file:repo", "file:/srv/a%20b/repo"),
        ("dir:///abs", "dir:///abs"),
        ("iso:one.iso?pool", "iso:/srv/a b/one.iso?pool"),
        ("iso:///one.iso", "iso:///one.iso"),
        ("this:repo", "this:repo"),
        ("mirror:debian", "mirror:debian"),
        ("https://example.org/deb", "https://example.org/deb"),
        ("obs:A:B/C", "obs:A:B/C"),
        (
            "this:r,,,,,,{k.gpg; /abs.gpg;file:///u.gpg},main",
            "this:r,,,,,,{/srv/a b/k.gpg;/abs.gpg;file:///u.gpg},main",
        ),
        (",apt-deb", ",apt-deb"),
    ],
)
def test_repositories(given: str, expected: str) -> None:
    overrides = located(Overrides(set_repo=given, add_repo=(given,)), HERE)
    assert overrides.set_repo == expected
    assert overrides.add_repo == (expected,)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("base.tar#a:1", "/srv/a%20b/base.tar#a:1"),
        ("file:base.tar", "file:/srv/a%20b/base.tar"),
        ("dir:layout", "dir:/srv/a%20b/layout"),
        ("/base.tar", "/base.tar"),
        ("file:///base.tar", "file:///base.tar"),
        ("this://base.tar", "this://base.tar"),
        ("docker://example.org/base", "docker://example.org/base"),
    ],
)
def test_base_containers(given: str, expected: str) -> None:
    assert located(Overrides(set_container_derived_from=given), HERE) == Overrides(
        set_container_derived_from=expected
    )


def test_keys_certificates_and_attributes() -> None:
    given = Overrides(
        signing_key=("k.gpg", "/k.gpg", "file:///k.gpg"),
        ca_cert=("ca.crt", "/ca.crt"),
        set_type_attr=("editbootconfig=edit.sh",),
    )
    found = located(given, HERE)
    assert found.signing_key == ("/srv/a b/k.gpg", "/k.gpg", "file:///k.gpg")
    assert found.ca_cert == ("/srv/a b/ca.crt", "/ca.crt")
    assert found.set_type_attr == given.set_type_attr
    assert located(found, Path("/elsewhere")) == found


@pytest.mark.parametrize("name", ["plain", "a b", "a,b;c", "{x}", "100%"])
def test_the_files_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    here = tmp_path / name
    (here / "repo").mkdir(parents=True)
    (here / "key.gpg").write_bytes(b"key")
    (here / "base.tar").touch()
    there = tmp_path / "description"
    there.mkdir()
    monkeypatch.chdir(here)
    preferences = (
        "<preferences><version>1.0.0</version><packagemanager>apt</packagemanager>"
        '<type image="docker"/></preferences>'
    )
    file = document(there, preferences=preferences, repository="").file
    settings = Settings(store=tmp_path / "store", cache=tmp_path / "cache")
    overrides = Overrides(
        add_repo=("repo,,,,,,{key.gpg}",),
        signing_key=("key.gpg",),
        set_container_derived_from="base.tar",
    )
    session = open_session(file, overrides=overrides, settings=settings)
    monkeypatch.chdir("/")
    (repository,) = session.description.repositories
    found = resolve(repository, settings, session.description.directory, "x86_64", host=())
    assert found.urls == ((here / "repo").as_uri(),)
    assert [key.path for key in found.keys] == [here / "key.gpg", here / "key.gpg"]
    derived = session.description.type.derived_from
    assert derived is not None
    assert local_archive(derived, session.description.directory)[0] == here / "base.tar"
    assert parse_repository(session.overrides.add_repo[0], "--add-repo")["path"] == repository.path


def test_global_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KIWINB_CONFIG", "")
    monkeypatch.setenv("TMPDIR", tempfile.gettempdir())
    (tmp_path / "c.toml").touch()
    (tmp_path / "t").mkdir()
    found: dict[str, object] = {}

    def look(*_arguments: object, cache: Path | None = None, **_more: object) -> Settings:
        found["cache"] = cache
        found["config"], found["temp"] = os.environ["KIWINB_CONFIG"], os.environ["TMPDIR"]
        raise SystemExit(0)

    monkeypatch.setattr("kiwinb.cli.build_options.load_settings", look)
    options = ["--config", "c.toml", "--temp-dir", "t", "--shared-cache-dir", "cache"]
    CliRunner().invoke(
        app, [*options, "system", "build", "--description", ".", "--target-dir", "out"]
    )
    assert found == {
        "cache": tmp_path / "cache",
        "config": str(tmp_path / "c.toml"),
        "temp": str(tmp_path / "t"),
    }
