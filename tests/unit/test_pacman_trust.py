"""What pacman is given is signed: its indexes, its packages, or both."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from apt_repository import Keys
from pacman_repository import described, make
from rpm_repository import host_paths, repository

from kiwinb.errors import PackageError, RepositoryError
from kiwinb.packages.databases.pacman import sections_of
from kiwinb.packages.indexed import checks_packages
from kiwinb.packages.keys import key_file
from kiwinb.packages.manager import PackageRequest, RepositoryState, ResolvedRepository
from kiwinb.packages.pacman import PacmanManager
from kiwinb.packages.pacman.metadata import PACMAN_DB, Listed
from kiwinb.packages.pacman.resolve import Chosen
from kiwinb.packages.pacman.session import check_signatures

pytestmark = pytest.mark.needs("gpg")

Sign = Callable[..., Path]


@pytest.fixture
def sign(keys: Keys) -> Sign:
    """Sign a file with one of two keys; the signature is beside the file."""
    home, _sign = keys

    def sign(file: Path, user: str = "right") -> Path:
        signature = file.with_name(f"{file.name}.sig")
        signature.unlink(missing_ok=True)
        gpg = ("gpg", "--batch", "--quiet", "--homedir", home, "--passphrase", "", "-u", user)
        command = (*gpg, "--output", signature, "--detach-sign", file)
        subprocess.run(command, check=True, capture_output=True)
        return signature

    return sign


@pytest.fixture
def own(keys: Keys, tmp_path: Path) -> ResolvedRepository:
    """A repository whose index has to be signed."""
    home, _sign = keys
    place = make(tmp_path / "repository", {"app": {}})
    key = key_file(home / "right.gpg")
    return repository(place, checked=True, index_required=True, keys=(key,))


def _refresh(own: ResolvedRepository, directory: Path) -> RepositoryState:
    return PacmanManager().refresh([own], "x86_64", host_paths(directory), force=True)


def test_an_index_has_to_be_signed(own: ResolvedRepository, tmp_path: Path, sign: Sign) -> None:
    index = tmp_path / "repository/test.db"
    with pytest.raises(RepositoryError, match=r"of the repository test has no signature") as caught:
        _refresh(own, tmp_path)
    assert "test.db.sig" in caught.value.problem
    assert 'repository_gpgcheck="false"' in (caught.value.remedy or "")
    sign(index, "wrong")
    with pytest.raises(RepositoryError, match=r"repository test .*: it is (by another|not)"):
        _refresh(own, tmp_path)
    sign(index)
    state = _refresh(own, tmp_path)
    assert [alias for alias, _digest in state.digests] == ["test"]
    make(tmp_path / "repository", {"app": {"DESC": "changed"}})
    with pytest.raises(RepositoryError, match=r"repository test .*changed|not valid") as caught:
        _refresh(own, tmp_path)
    assert "another mirror" in (caught.value.remedy or "")


def test_packages_are_checked_if_their_index_has_no_signature(
    own: ResolvedRepository, tmp_path: Path, sign: Sign
) -> None:
    optional = replace(own, index_required=False)

    def checks(repository: ResolvedRepository, *, asked: bool = False) -> bool:
        state = _refresh(repository, tmp_path)
        request = PackageRequest("x86_64", (repository,), state, packages_checked=asked)
        return checks_packages(PACMAN_DB, request, 0)

    assert checks(optional)
    with pytest.raises(RepositoryError, match="has no signature"):
        checks(replace(optional, packages_checked=False))
    sign(tmp_path / "repository/test.db")
    assert not checks(optional)
    assert checks(optional, asked=True)
    assert checks(replace(optional, packages_checked=True))
    assert not checks(replace(optional, checked=False))


def _chosen(file: Path, signature: str) -> Chosen:
    sections = sections_of(described("app", {"PGPSIG": signature} if signature else {}), "desc")
    return Chosen(0, Listed(sections, file.name, file.stat().st_size, "0" * 64))


@pytest.mark.parametrize("place", ["in the index", "beside the package"])
@pytest.mark.proves("package manager", "pacman", "package_gpgcheck")
def test_signatures_of_packages(
    place: str, own: ResolvedRepository, tmp_path: Path, sign: Sign
) -> None:
    """An index may have the signatures in it, ``PGPSIG``; then those beside do not count."""
    (tmp_path / "work/cache").mkdir(parents=True)
    file = tmp_path / "work/cache/app-1.0-1-any.pkg.tar.zst"

    def check(data: bytes, user: str = "right", *, cut: bool = False) -> None:
        file.write_bytes(b"content")
        signature = sign(file, user)
        signed = signature.read_bytes()[: -5 if cut else None]
        signature.unlink()
        text = base64.b64encode(signed).decode() if place == "in the index" else ""
        beside = tmp_path / "repository" / signature.name
        if place == "beside the package":
            beside.write_bytes(signed)
        file.write_bytes(data)
        check_signatures(tmp_path / "work", own, [_chosen(file, text)])

    check(b"content")
    for data, user, cut in (
        (b"another content", "right", False),
        (b"content", "wrong", False),
        (b"content", "right", True),
    ):
        with pytest.raises(PackageError, match="repository test are not signed") as caught:
            check(data, user, cut=cut)
        assert file.name in caught.value.problem
        assert "package_gpgcheck" in (caught.value.remedy or "")


@pytest.mark.parametrize("signature", ["", "this is no base64"])
def test_a_package_without_a_signature(
    signature: str, own: ResolvedRepository, tmp_path: Path
) -> None:
    (tmp_path / "work/cache").mkdir(parents=True)
    file = tmp_path / "work/cache/app-1.0-1-any.pkg.tar.zst"
    file.write_bytes(b"content")
    with pytest.raises(PackageError, match=f"not signed(.|\n)*{file.name}"):
        check_signatures(tmp_path / "work", own, [_chosen(file, signature)])
