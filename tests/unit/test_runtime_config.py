"""KIWI NG's runtime configuration."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from kiwinb import runtime_config
from kiwinb.errors import KiwinbError
from kiwinb.runtime_config import WITHOUT_EFFECT, read_runtime_config
from kiwinb.settings import Settings, load_settings


@pytest.fixture(autouse=True)
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of a host are below the temporary directory."""
    monkeypatch.setattr(
        runtime_config, "PLACES", (tmp_path / "usr/kiwi.yml", tmp_path / "etc/kiwi.yml")
    )
    runtime_config._warn.cache_clear()
    return tmp_path


def _write(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def _load(host: Path, **environ: str) -> Settings:
    return load_settings(
        {"HOME": str(host), "XDG_CONFIG_HOME": str(host / "none"), "XDG_CACHE_HOME": "/c"} | environ
    )


def test_later_files_go_before_earlier_ones(host: Path) -> None:
    _write(host / "usr/kiwi.yml", "obs:\n  download_url: http://a\n")
    _write(host / "usr/kiwi.yml.d/x.yml", "runtime_checks:\n  disable: [check_image_type_unique]\n")
    _write(host / "etc/kiwi.yml", "obs:\n  download_url: http://b\nbundle:\n")
    assert _load(host).obs_server == "http://b"
    _write(host / ".config/kiwi/config.yml", "obs:\n  download_url: http://c\n")
    _write(
        host / "etc/kiwi.yml.d/y.yml",
        "bundle:\n  compress: false\nruntime_checks:\n  disable:\n    - check_of_another_kiwi\n",
    )
    settings = _load(host)
    assert settings.obs_server == "http://c"
    assert settings.disabled_kiwi_checks == ("image_type_unique", "of_another_kiwi")
    assert settings.compress_bundles is False
    custom = _write(host / "mine.yml", "obs:\n  download_url: http://d\n")
    assert _load(host, KIWINB_CONFIG=str(custom)).obs_server == "http://d"
    own = _write(host / "config.toml", 'obs-server = "http://e"\n')
    assert _load(host, KIWINB_CONFIG=str(own)).obs_server == "http://e"


def test_sections_of_older_versions(host: Path) -> None:
    """They are lists of mappings with one key each."""
    _write(
        host / "etc/kiwi.yml",
        "obs:\n  - download_url: http://a\n  - public: true\n"
        "bundle:\n  - compress: false\n  - has_package_changes: true\n"
        "runtime_checks:\n  - disable:\n      - check_image_type_unique\n",
    )
    settings = _load(host)
    assert settings.obs_server == "http://a"
    assert settings.compress_bundles is False
    assert settings.disabled_kiwi_checks == ("image_type_unique",)


def test_what_has_no_effect_is_named_once(host: Path, caplog: pytest.LogCaptureFixture) -> None:
    lines = ["unknown:\n  key: 1\n"]
    for name in WITHOUT_EFFECT:
        section, _, key = name.partition(".")
        lines.append(f"{section}:\n  {key}: value\n")
    for number, text in enumerate(lines):
        _write(host / f"etc/kiwi.yml.d/{number:02}.yml", text)
    with caplog.at_level(logging.WARNING, logger="kiwinb"):
        _load(host)
        _load(host)
    for name in (*WITHOUT_EFFECT, "unknown.key"):
        assert len([x for x in caplog.messages if f": {name} has no effect: " in x]) == 1
    assert len(caplog.messages) == len(WITHOUT_EFFECT) + 1


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("obs: [\n", "2: this is not valid YAML"),
        ("- obs\n", "the configuration is to be a mapping"),
        ("obs: [x]\n", "obs is to be a mapping"),
        ("bundle:\n  compress: 2023-02-30\n", "this is not valid YAML"),
        ("obs: 1\n", "obs is to be a mapping"),
        ("obs:\n  download_url: 1\n", "obs.download_url is to be a URL"),
        ("bundle:\n  compress: some\n", "bundle.compress is to be true or false"),
        ("runtime_checks:\n  disable: x\n", "runtime_checks.disable is to be a list"),
    ],
)
def test_what_is_wrong(host: Path, text: str, problem: str) -> None:
    file = _write(host / "etc/kiwi.yml", text)
    with pytest.raises(KiwinbError) as caught:
        read_runtime_config(None)
    assert str(file) in str(caught.value)
    assert problem in str(caught.value)


def test_a_file_that_is_named_has_to_exist(host: Path) -> None:
    with pytest.raises(KiwinbError, match="does not exist"):
        _load(host, KIWINB_CONFIG=str(host / "none.yml"))
