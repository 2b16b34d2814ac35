from pathlib import Path

import pytest

from kiwinb.errors import KiwinbError
from kiwinb.limits import Limits
from kiwinb.settings import Settings, load_settings


def load(tmp_path: Path, text: str, **environ: str) -> Settings:
    file = tmp_path / "config.toml"
    file.write_text(text)
    return load_settings({"KIWINB_CONFIG": str(file), "XDG_CACHE_HOME": "/c", **environ})


def test_defaults_without_a_file(tmp_path: Path) -> None:
    settings = load_settings({"XDG_CONFIG_HOME": str(tmp_path), "XDG_CACHE_HOME": "/c"})
    assert settings.store == Path("/c/kiwinb/store")
    assert settings.cache == Path("/c/kiwinb/downloads")
    assert settings.store_limit is None
    assert settings.backend == "auto"
    assert settings.mirrors == {}


def test_all_settings(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        'store = "/s"\ncache = "/d"\nstore-limit = "40G"\nbackend = "copy"\nparallel-steps = 3\n'
        'obs-server = "https://obs.example.org"\nnetwork = ["config.sh"]\n'
        '[mirrors]\ndebian = "http://m.example.org/debian/"\nlocal = ["file:/a", "file:/b"]\n'
        '[limits]\nprocesses = 9\nmemory = "4G"\nseconds = 60\ndisk = "1G"\nreserve = "1M"\n'
        "files = 8\nreserved-files = 7\n",
    )
    assert settings.network == ("config.sh",)
    assert settings.limits == Limits(9, 4 << 30, 60, 1 << 30, 1 << 20, 8, 7)
    assert (settings.store, settings.cache) == (Path("/s"), Path("/d"))
    assert settings.store_limit == 40 * 2**30
    assert settings.backend == "copy"
    assert settings.parallel_steps == 3
    assert settings.obs_server == "https://obs.example.org"
    assert settings.mirrors == {
        "debian": ("http://m.example.org/debian",),
        "local": ("file:/a", "file:/b"),
    }


def test_environment_and_argument_override_the_file(tmp_path: Path) -> None:
    text = 'store = "/s"\ncache = "/d"\n'
    settings = load(tmp_path, text, KIWINB_STORE="/es", KIWINB_CACHE="/ed")
    assert (settings.store, settings.cache) == (Path("/es"), Path("/ed"))
    environ = {"KIWINB_CONFIG": str(tmp_path / "config.toml"), "KIWINB_CACHE": "/ed"}
    assert load_settings(environ, cache=Path("/arg")).cache == Path("/arg")


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ('store = "/s"\ncache = \n', 2, "no valid TOML"),
        ("\nstore = 3\n", 2, "store is to be a text"),
        ('backend = "zfs"\n', 1, "auto, overlay, copy"),
        ("parallel-steps = 0\n", 1, "a number from 1 on"),
        ("[limits]\nmemory = 'much'\n", 2, "memory is to be a size"),
        ("[limits]\nspeed = 3\n", 2, "speed is no setting"),
        ("limits = 3\n", 1, "limits is to be a table"),
        ('network = "config.sh"\n', 1, "network is to be a list"),
        ("parallel-steps = true\n", 1, "a number from 1 on"),
        ('store-limit = "many"\n', 1, "size"),
        ('[mirrors]\ndebian = "/srv"\n', 2, "debian is to be a URL"),
        ("[mirrors]\ndebian = []\n", 2, "debian is to be a URL"),
        ('stor = "/s"\n', 1, "stor is no setting"),
    ],
)
def test_mistakes_are_told_with_their_line(
    tmp_path: Path, text: str, line: int, problem: str
) -> None:
    with pytest.raises(KiwinbError, match=problem) as caught:
        load(tmp_path, text)
    assert str(caught.value).startswith(f"{tmp_path}/config.toml:{line}")


def test_named_file_has_to_exist(tmp_path: Path) -> None:
    with pytest.raises(KiwinbError, match="does not exist"):
        load_settings({"KIWINB_CONFIG": str(tmp_path / "none.toml")})
    with pytest.raises(KiwinbError, match="does not exist"):
        load_settings({}, file=tmp_path / "none.toml")
