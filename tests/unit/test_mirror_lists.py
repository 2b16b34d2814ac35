"""Repositories whose source is a list of mirrors: metalinks and mirrorlists."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from apt_repository import Keys
from mirror_server import REPOMD, Mirrors, busy, hang, metalink, metalink4, serving
from rpm_repository import Rpm, host_paths, index, make_repository

from kiwinb.description.model import Repository
from kiwinb.errors import RepositoryError
from kiwinb.packages import MANAGERS, fetch
from kiwinb.packages.downloads import download
from kiwinb.packages.fetch import Wanted
from kiwinb.packages.indexed import directory_of, reachable
from kiwinb.packages.keys import key_file
from kiwinb.packages.manager import PackageRequest, RepositoryState, ResolvedRepository
from kiwinb.packages.mirror_lists import usable
from kiwinb.packages.mirrors import resolve
from kiwinb.packages.pool import Pool
from kiwinb.packages.signatures import Flaw, sha256_of
from kiwinb.settings import Settings
from kiwinb.steps.step import StepContext

DNF = MANAGERS["dnf4"]
LISTS = ("metalink", "mirrorlist")

pytestmark = pytest.mark.needs("rpmbuild", "createrepo_c", "curl")

Read = Callable[..., RepositoryState]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A repository: as it is now, as it was, and as it was before."""
    top = tmp_path_factory.mktemp("made")
    new = make_repository(top / "new", [Rpm("alpha")], revision="1700000200")
    old, older = top / "old", top / "older"
    for place, revision in ((old, "1700000100"), (older, "1700000000")):
        shutil.copytree(new, place)
        index(place, revision=revision)
    return new, old, older


@pytest.fixture
def mirrors(made: tuple[Path, Path, Path]) -> Iterator[Mirrors]:
    """A server: ``good`` and ``also`` are up to date, ``old`` and ``older`` are not."""
    new, old, older = made
    with serving() as server:
        server.places.update(good=new, also=new, old=old, older=older)
        server.places["tampered"] = lambda path: (
            repomd(new) + b"<!-- other -->" if path == REPOMD else (new / path).read_bytes()
        )
        server.places["hangs"], server.places["busy"] = hang, busy
        server.places["page"] = lambda _path: b"<html><body>Please log in</body></html>"
        yield server


def repomd(place: Path) -> bytes:
    return (place / REPOMD).read_bytes()


def listed(mirrors: Mirrors, kind: str = "metalink", **more: object) -> ResolvedRepository:
    url = f"{mirrors.url}/list?repo=test-1&arch=x86_64"
    given = {"checked": False, "sourcetype": kind, **more}
    return ResolvedRepository("test", url, (url,), **given)  # type: ignore[arg-type]


def write_list(mirrors: Mirrors, kind: str, names: list[str], made: tuple[Path, ...]) -> None:
    """Write a list of mirrors of the server; names with a colon are URLs."""
    urls = [name if ":" in name else f"{mirrors.url}/{name}" for name in names]
    if kind == "metalink":
        preferences = {url: 100 - number for number, url in enumerate(urls)}
        new, *old = map(repomd, made)
        mirrors.places["list"] = metalink(preferences, new, old)
    else:
        mirrors.places["list"] = "\n".join(
            ["# mirrors", "", *(f" {url}/ " for url in urls)]
        ).encode()


@pytest.fixture
def read(mirrors: Mirrors, made: tuple[Path, Path, Path], tmp_path: Path) -> Read:
    """Read the metadata of a repository with such mirrors, in a cache of its own."""
    count = 0

    def act(kind: str, *names: str, same_cache: bool = False, **more: object) -> RepositoryState:
        nonlocal count
        count += not same_cache
        write_list(mirrors, kind, [*names], made)
        place = host_paths(tmp_path / str(count))
        return DNF.refresh([listed(mirrors, kind, **more)], "x86_64", place, force=same_cache)

    return act


def urls_of(state: RepositoryState, repository: ResolvedRepository) -> tuple[str, ...]:
    return reachable(PackageRequest("x86_64", (repository,), state), 0).urls


@pytest.mark.parametrize("kind", LISTS)
@pytest.mark.proves("package manager", "dnf4", "sourcetype")
@pytest.mark.proves("package manager", "zypper", "sourcetype")
def test_the_key_is_the_same_whichever_mirror_answers(
    kind: str, read: Read, mirrors: Mirrors, tmp_path: Path
) -> None:
    first = read(kind, "good", "also")
    second = read(kind, "missing", "also", "good")
    assert second.digests == first.digests and second.epoch == 1700000200
    repository = listed(mirrors, kind)
    place = host_paths(tmp_path / "zypper")
    third = MANAGERS["zypper"].refresh([repository], "x86_64", place, force=False)
    assert third.digests == first.digests
    assert urls_of(first, repository) == (f"{mirrors.url}/good", f"{mirrors.url}/also")
    names = ("also", "good", "missing")
    assert urls_of(second, repository) == tuple(f"{mirrors.url}/{name}" for name in names)
    assert "/list?repo=test-1&arch=x86_64" in mirrors.asked


@pytest.mark.parametrize("kind", LISTS)
@pytest.mark.parametrize("bad", ["missing", "page", "hangs", "busy", "http://127.0.0.1:1/closed"])
def test_a_mirror_that_does_not_serve_is_passed_over(
    kind: str,
    bad: str,
    read: Read,
    mirrors: Mirrors,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fetch, "STALL_SECONDS", 3)
    state = read(kind, bad, "good")
    assert urls_of(state, listed(mirrors, kind))[0] == f"{mirrors.url}/good"
    (said,) = caplog.messages
    assert "of the repository test is passed over: " in said and bad in said


def test_an_index_that_was_tampered_with_is_not_read(
    read: Read, mirrors: Mirrors, caplog: pytest.LogCaptureFixture
) -> None:
    state = read("metalink", "tampered", "good")
    assert urls_of(state, listed(mirrors))[0] == f"{mirrors.url}/good"
    assert "tampered of the repository test is passed over: its repomd.xml is not one" in "".join(
        caplog.messages
    )


def test_older_versions_are_taken_if_no_mirror_has_the_current_one(
    read: Read, mirrors: Mirrors
) -> None:
    assert read("metalink", "older", "old", "good").epoch == 1700000200
    assert read("metalink", "older", "old", "missing").epoch == 1700000100
    assert read("metalink", "older").epoch == 1700000000


def test_an_older_index_than_before_is_refused_and_another_mirror_asked(
    read: Read, caplog: pytest.LogCaptureFixture
) -> None:
    more = {"checked": True}
    assert read("mirrorlist", "old", **more).epoch == 1700000100
    assert read("mirrorlist", "older", "good", same_cache=True, **more).epoch == 1700000200
    assert any("kiwinb has seen one of" in said for said in caplog.messages)
    with pytest.raises(RepositoryError, match=r"none of the mirrors(.|\n)*kiwinb has seen one of"):
        read("mirrorlist", "old", same_cache=True, **more)
    allowed = {**more, "outdated_allowed": True}
    assert read("mirrorlist", "old", same_cache=True, **allowed).epoch == 1700000100


@pytest.mark.parametrize("kind", LISTS)
def test_when_all_mirrors_fail_one_error_says_why(kind: str, read: Read, mirrors: Mirrors) -> None:
    names = ["missing", "page", *(["tampered"] if kind == "metalink" else [])]
    with pytest.raises(RepositoryError) as caught:
        read(kind, *names)
    said = caught.value.problem
    assert "none of the mirrors of the repository test can be used" in said and kind in said
    assert all(f"\n  {mirrors.url}/{name}: " in said for name in names)
    assert "404" in said and caught.value.remedy


def test_metadata_comes_from_any_mirror_and_is_asked_for_once(
    read: Read, mirrors: Mirrors, made: tuple[Path, ...]
) -> None:
    mirrors.places["half"] = lambda path: repomd(made[0]) if path == REPOMD else None
    assert read("metalink", "half", "good")
    mirrors.asked.clear()
    with pytest.raises(RepositoryError, match="the same as that of another mirror"):
        mirrors.places["more"] = mirrors.places["half"]
        read("mirrorlist", "half", "more", "missing")
    assert len([path for path in mirrors.asked if "primary" in path]) == 3


def test_a_metalink_of_version_4(mirrors: Mirrors, made: tuple[Path, ...], tmp_path: Path) -> None:
    urls = {f"{mirrors.url}/{name}": number for name, number in (("also", 7), ("good", 3))}
    mirrors.places["list"] = metalink4(urls, repomd(made[0]))
    state = DNF.refresh([listed(mirrors)], "x86_64", host_paths(tmp_path), force=False)
    assert urls_of(state, listed(mirrors)) == (f"{mirrors.url}/good", f"{mirrors.url}/also")


BOMB = b"""<!DOCTYPE m [<!ENTITY a "aaaaaaaaaa">%s]><metalink version="3.0"
xmlns="http://www.metalinker.org/">
<files><file name="repomd.xml" x="&j;">&j;</file></files></metalink>
""" % b"".join(
    b'<!ENTITY %c "%s">' % (letter + 1, b"&%c;" % letter * 10) for letter in range(97, 106)
)
V3 = b'<metalink version="3.0" xmlns="http://www.metalinker.org/">%s</metalink>'


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "not XML"),
        (b"<metalink", "not XML"),
        (BOMB, "not XML|document type"),
        (b"<!DOCTYPE m SYSTEM 'file:///etc/passwd'>" + V3 % b"", "document type"),
        (b"<!DOCTYPE html><html><body>Log in</body></html>", "document type|not a metalink"),
        (b"<html><body>Log in</body></html>", "it is not a metalink, but <html>"),
        (b"<metalink/>", "it is not a metalink, but <metalink>"),
        (V3 % b"<!-- invalid repo or arch -->", "does not list repomd.xml"),
        (V3 % b'<files><file name="x.iso"/></files>', "does not list repomd.xml"),
        (V3 % b'<files><file name="repomd.xml"/></files>', "states no SHA-256"),
        (b"<a>" * 500_000, "cannot be downloaded: .*(larger|size)"),
    ],
)
def test_what_is_no_metalink(data: bytes, why: str, mirrors: Mirrors, tmp_path: Path) -> None:
    mirrors.places["list"] = data
    with pytest.raises(RepositoryError, match=why) as caught:
        DNF.refresh([listed(mirrors)], "x86_64", host_paths(tmp_path), force=False)
    assert f"the metalink of the repository test ({mirrors.url}/list?repo" in caught.value.problem
    assert caught.value.remedy
    assert not [*(tmp_path / "cache").rglob("current.json")]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "names no http"),
        (b"# only a comment\n\n", "names no http"),
        (b"Invalid release/repo/arch combination\n", "begins with 'Invalid release/repo/arch"),
        (b"\n<!DOCTYPE html><html>http://a.example.org/</html>", "it is XML or HTML"),
        (b"rsync://a.example.org/\nrepos/\n//a.example.org/x\nfile:///etc\nhttp://\n", "names no"),
        (b"http://me:word@a.example.org/x\nhttp://a.example.org/?x=\nhttp://[/\n", "names no"),
        (b"http://a.example.org/x y\nhttp://a.example.org/\x07\n\xff\xfe", "names no http"),
        (b"http://a.example.org/\n" * 100_000, "cannot be downloaded: .*(larger|size)"),
    ],
)
def test_what_is_no_mirrorlist(data: bytes, why: str, mirrors: Mirrors, tmp_path: Path) -> None:
    mirrors.places["list"] = data
    with pytest.raises(RepositoryError, match=why):
        DNF.refresh([listed(mirrors, "mirrorlist")], "x86_64", host_paths(tmp_path), force=False)


def test_weak_digests_do_not_count(
    mirrors: Mirrors, made: tuple[Path, ...], tmp_path: Path
) -> None:
    weak = metalink({f"{mirrors.url}/good": 1}, repomd(made[0]), algorithms=("md5", "sha1"))
    mirrors.places["list"] = weak
    with pytest.raises(RepositoryError, match="states no SHA-256 and no SHA-512 of repomd"):
        DNF.refresh([listed(mirrors)], "x86_64", host_paths(tmp_path), force=False)


@pytest.mark.parametrize("kind", LISTS)
def test_only_servers_are_mirrors_and_not_too_many(
    kind: str, read: Read, mirrors: Mirrors, made: tuple[Path, ...]
) -> None:
    others = ["rsync://a.example.org/r", f"file://{made[0]}", *(f"no{n}" for n in range(40))]
    state = read(kind, *others[:2], "good", *others[2:])
    urls = urls_of(state, listed(mirrors, kind))
    assert urls[:2] == (f"{mirrors.url}/good", f"{mirrors.url}/no0") and len(urls) == 30
    with pytest.raises(RepositoryError, match="names no http"):
        read(kind, *others[:2])


def test_a_list_on_this_host_may_name_its_files(
    made: tuple[Path, ...], tmp_path: Path, mirrors: Mirrors
) -> None:
    (tmp_path / "list").write_text(f"{made[0].as_uri()}\n")
    url = (tmp_path / "list").as_uri()
    repository = replace(listed(mirrors, "mirrorlist"), urls=(url,))
    state = DNF.refresh([repository], "x86_64", host_paths(tmp_path), force=False)
    assert urls_of(state, repository) == (made[0].as_uri(),)


def test_nothing_but_https_vouches_for_an_unchecked_mirrorlist(mirrors: Mirrors) -> None:
    named = ("http://a.example.org", "https://b.example.org/x/")
    safe = replace(listed(mirrors, "mirrorlist"), urls=("https://lists.example.org/l",))
    assert [*usable(named, safe)] == ["https://b.example.org/x"]
    for other in (
        replace(safe, checked=True),
        replace(safe, packages_checked=True),
        replace(safe, sourcetype="metalink"),
        replace(safe, urls=("http://lists.example.org/l",)),
    ):
        assert [*usable(named, other)] == ["http://a.example.org", "https://b.example.org/x"]


@pytest.mark.parametrize("kind", LISTS)
def test_packages_come_from_the_next_mirror_and_nothing_is_read_again(
    kind: str, read: Read, mirrors: Mirrors, made: tuple[Path, ...], tmp_path: Path
) -> None:
    new, (rpm,) = made[0], made[0].rglob("*.rpm")
    mirrors.places["spoiled"] = lambda path: (
        b"other" if path.endswith(".rpm") else (new / path).read_bytes()
    )
    repository = listed(mirrors, kind)
    state = read(kind, "spoiled", "good")
    mirrors.places = {"good": new, "spoiled": mirrors.places["spoiled"]}  # no list any more
    mirrors.asked.clear()
    again = DNF.refresh([repository], "x86_64", host_paths(tmp_path / "1"), force=False)
    assert again == state and not mirrors.asked
    request = PackageRequest("x86_64", (repository,), again)
    digest = sha256_of(rpm)
    wanted = Wanted(str(rpm.relative_to(new)), tmp_path / "got.rpm", rpm.stat().st_size, digest)
    pool = Pool(tmp_path / "pool", ".rpm")
    download(pool, reachable(request, 0), [wanted], lambda line: None)
    assert wanted.target.read_bytes() == rpm.read_bytes()
    assert [path.split("/")[1] for path in mirrors.asked] == ["spoiled", "good"]


@pytest.mark.parametrize("damage", ["{", "[]", '{"0": ["file:///etc"]}', '{"0": "x"}', None])
def test_mirrors_in_the_cache_that_were_changed_are_not_used(
    damage: str | None, read: Read, mirrors: Mirrors, tmp_path: Path
) -> None:
    state = read("metalink", "good")
    file = state.metadata / "mirrors.json"
    if damage is None:
        file.unlink()
    else:
        file.write_text(damage)
    with pytest.raises(RepositoryError, match="the mirrors of test"):
        urls_of(state, listed(mirrors))
    again = DNF.refresh([listed(mirrors)], "x86_64", host_paths(tmp_path / "1"), force=False)
    assert again.digests == state.digests
    assert urls_of(again, listed(mirrors)) == (f"{mirrors.url}/good",)


def test_a_login_is_for_the_server_of_the_list_and_nowhere_else(
    mirrors: Mirrors, made: tuple[Path, ...], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with serving() as other:
        other.places["good"] = lambda path: None
        write_list(mirrors, "metalink", [f"{other.url}/good", "good"], made)
        given = Repository(
            path=f"{mirrors.url.replace('//', '//me:canary@')}/list?x=1",
            sourcetype="metalink",
            repository_gpgcheck=False,
            alias="test",
        )
        settings = Settings(store=tmp_path, cache=tmp_path)
        found = resolve(given, settings, tmp_path, "x86_64", host=())
        place = host_paths(tmp_path)
        state = DNF.refresh([found], "x86_64", place, force=False)
        assert mirrors.logins["/list?x=1"] == mirrors.logins[f"/good/{REPOMD}"] == "me:canary"
        assert other.asked and not other.logins
        del mirrors.places["good"]
        with pytest.raises(RepositoryError) as caught:
            DNF.refresh([found], "x86_64", place, force=True)
        mirrors.places["list"] = b"<"
        with pytest.raises(RepositoryError) as damaged:
            DNF.refresh([found], "x86_64", place, force=True)
    texts = [str(caught.value), str(damaged.value), *caplog.messages, repr(found), repr(state)]
    assert not any("canary" in text for text in texts)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(b"canary" in path.read_bytes() for path in files)


def test_variables_in_a_mirrorlist(
    mirrors: Mirrors, made: tuple[Path, ...], tmp_path: Path
) -> None:
    text = f"{mirrors.url}/$releasever_major-${{basearch}}/$repo\n{mirrors.url}/good\n"
    mirrors.places["list"] = text.encode()
    repository = listed(
        mirrors, "mirrorlist", variables=tuple(DNF.url_variables("ix86", "9.4").items())
    )
    state = DNF.refresh([repository], "ix86", host_paths(tmp_path), force=False)
    assert urls_of(state, repository) == (f"{mirrors.url}/good", f"{mirrors.url}/9-i386/$repo")
    assert (directory_of(state.metadata, 0) / "primary").exists()


@pytest.mark.needs("gpg")
@pytest.mark.parametrize("kind", LISTS)
def test_a_mirror_whose_signature_is_wrong_is_passed_over(
    kind: str,
    read: Read,
    mirrors: Mirrors,
    made: tuple[Path, ...],
    keys: Keys,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    home, _sign = keys
    shutil.copytree(made[0], tmp_path / "signed")
    signature = tmp_path / "signed" / f"{REPOMD}.asc"
    words: list[str | Path] = [
        "gpg",
        "--batch",
        "--quiet",
        "--homedir",
        home,
        "-u",
        "right",
        "-ab",
        "-o",
        signature,
    ]
    subprocess.run([*words, tmp_path / "signed" / REPOMD], check=True)
    mirrors.places["signed"] = tmp_path / "signed"
    mirrors.places["forged"] = lambda path: (
        repomd(made[1]) if path == REPOMD else (tmp_path / "signed" / path).read_bytes()
    )
    strict = {
        "checked": True,
        "index_required": True,
        "keys": (key_file(home / "right.asc"),),
    }
    state = read(kind, "good", "forged", "signed", **strict)
    assert urls_of(state, listed(mirrors, kind, **strict))[0] == f"{mirrors.url}/signed"
    unsigned, forged = caplog.messages
    assert "has no signature" in unsigned
    assert any(flaw.value in forged for flaw in (Flaw.CHANGED, Flaw.NOT_VALID))
    wrong = {**strict, "keys": (key_file(home / "wrong.gpg"),)}
    with pytest.raises(
        RepositoryError, match=r"signed: the signature of the index .* is not one by"
    ):
        read(kind, "signed", **wrong)


@pytest.mark.parametrize("manager", ["dnf4", "zypper"])
@pytest.mark.parametrize("kind", LISTS)
def test_the_image_gets_the_list(manager: str, kind: str, mirrors: Mirrors, tmp_path: Path) -> None:
    url = "https://a.example.org/list?repo=f-$releasever&arch=x86_64"
    repository = listed(mirrors, kind, included_in_image=True, image_url=url)
    host = host_paths(tmp_path)
    context = StepContext(tmp_path, None, {}, host, print, lambda done: None, rootless=False)
    MANAGERS[manager].configure_image(context, [repository])
    (file,) = tmp_path.rglob("test.repo")
    assert f"\n{kind}={url}\n" in file.read_text() and "baseurl" not in file.read_text()
