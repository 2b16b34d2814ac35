"""Downloads with curl: what arrives is what is listed, and each error says what to do."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from package_server import Answer, Handler, hangs_up, is_gone, sends_half, served, stalls

from kiwinb.errors import RepositoryError
from kiwinb.packages import fetch as module
from kiwinb.packages.fetch import Wanted, fetch
from kiwinb.packages.manager import ResolvedRepository

DATA = b"0123456789" * 2000

pytestmark = pytest.mark.needs("curl")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    directory = tmp_path / "repository"
    directory.mkdir()
    (directory / "file").write_bytes(DATA)
    (directory / "longer").write_bytes(DATA * 2)
    return directory


@pytest.fixture
def server(place: Path) -> Iterator[tuple[type[Handler], str]]:
    with served(place) as found:
        yield found


def repository(*urls: str) -> ResolvedRepository:
    return ResolvedRepository("own", "https://a.example.org", urls)


def wanted(directory: Path, path: str = "file", data: bytes = DATA) -> Wanted:
    digest = hashlib.sha256(data).hexdigest()
    return Wanted(path, directory / "target", len(data), digest)


ANSWERS: dict[Answer, tuple[str, str]] = {
    hangs_up: ("cannot be downloaded", "that this host reaches it"),
    stalls: ("too slow|timed out", "that this host reaches it"),
    sends_half: ("cannot be downloaded", "that this host reaches it"),
    is_gone: ("404", "--clear-cache"),
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_a_server_that_misbehaves(
    answer: Answer,
    server: tuple[type[Handler], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "STALL_SECONDS", 1)
    handler, url = server
    handler.answer = answer
    message, remedy = ANSWERS[answer]
    with pytest.raises(RepositoryError) as caught:
        fetch(repository(url), [wanted(tmp_path)])
    assert "the repository own" in caught.value.problem and "file: " in caught.value.problem
    with pytest.raises(RepositoryError, match=message):
        raise caught.value
    assert remedy in (caught.value.remedy or "")
    assert not (tmp_path / "target").exists()
    handler.answer = None
    fetch(repository(url), [wanted(tmp_path)])
    assert (tmp_path / "target").read_bytes() == DATA


@pytest.mark.parametrize("scheme", ["http", "file"])
@pytest.mark.parametrize(
    ("item", "said"),
    [
        (("longer", DATA), "20000 bytes|40000 bytes|has more than the 20000 bytes"),
        (("file", DATA * 2), "has 20000 bytes, but the repository lists 40000"),
        (("file", DATA[::-1]), "its digest is another one"),
    ],
)
def test_another_file_than_the_one_that_is_listed(
    scheme: str,
    item: tuple[str, bytes],
    said: str,
    place: Path,
    server: tuple[type[Handler], str],
    tmp_path: Path,
) -> None:
    _handler, url = server
    own = repository(url if scheme == "http" else place.as_uri())
    with pytest.raises(RepositoryError, match=said) as caught:
        fetch(own, [wanted(tmp_path, *item)])
    assert "--clear-cache" in (caught.value.remedy or "")
    assert not (tmp_path / "target").exists()


def test_another_mirror_has_it(
    place: Path, server: tuple[type[Handler], str], tmp_path: Path
) -> None:
    handler, url = server
    handler.answer = sends_half
    fetch(repository(url, place.as_uri()), [wanted(tmp_path)])
    assert (tmp_path / "target").read_bytes() == DATA


def test_a_file_that_need_not_be_there(place: Path, tmp_path: Path) -> None:
    fetch(repository(place.as_uri()), [Wanted("nothing", tmp_path / "target", optional=True)])
    assert not (tmp_path / "target").exists()


def test_a_full_disk(place: Path, tmp_path: Path) -> None:
    """The table of faults has one for curl, with a real disk."""
    target = tmp_path / "target"
    target.symlink_to("/dev/full")
    with pytest.raises(OSError) as caught:
        fetch(repository(place.as_uri()), [wanted(tmp_path)])
    assert caught.value.errno == errno.ENOSPC and caught.value.filename == str(target)


@pytest.mark.parametrize(
    ("response", "absent"), [(403, True), (404, True), (410, True), (401, False), (500, False)]
)
def test_only_a_file_that_is_not_there_is_absent(
    response: int, absent: bool, server: tuple[type[Handler], str], tmp_path: Path
) -> None:
    """A server that fails must not make a signed index look like one without a signature."""
    handler, url = server
    handler.answer = lambda handler, _data: handler.send_error(response)
    signature = Wanted("file.asc", tmp_path / "target", optional=True)
    if absent:
        fetch(repository(url), [signature])
    else:
        with pytest.raises(RepositoryError, match=f"file.asc: .*{response}"):
            fetch(repository(url), [signature])
    assert not signature.target.exists()
