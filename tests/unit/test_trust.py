"""What is switched off is said, and secrets are neither shown nor kept."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from descriptions import document
from hypothesis import given
from hypothesis import settings as settings_of_test
from hypothesis import strategies as st

from kiwinb.build.plan import plan_build
from kiwinb.build.session import open_session
from kiwinb.checks import CheckErrors
from kiwinb.checks.trust import risks
from kiwinb.description.document import read
from kiwinb.description.model import ImageDescription, Repository, User
from kiwinb.description.override import Overrides, parse_repository
from kiwinb.description.passwords import hashed, sha512_crypt
from kiwinb.description.secrets import without_secrets
from kiwinb.description.select import select
from kiwinb.description.show import to_xml
from kiwinb.description.sources import Sources
from kiwinb.errors import DescriptionError
from kiwinb.images.inputs import BuildInputs
from kiwinb.packages.manager import RepositoryState
from kiwinb.results.deliver import deliver
from kiwinb.results.exported import ExportFacts, read_export, write_export
from kiwinb.results.record import RECORD, UsedRepository, list_results
from kiwinb.settings import Settings

UNCHECKED = UsedRepository("own", "http://x.example.org/r", "0" * 64, checked=False)
USERS = """
<users>
  <user name="tux" password="canary" pwdformat="plain"/>
  <user name="fox" password="$6$a$b" pwdformat="encrypted"/>
</users>
"""
REPOSITORIES = """
<repository alias="own" repository_gpgcheck="false" imageinclude="true">
  <source path="http://me:canary@x.example.org/r"><signing key="https://me:canary@x.example.org/k"/></source>
</repository>
<repository alias="other" username="me" password="canary"><source path="dir:///tmp"/></repository>
"""


@pytest.fixture
def image(tmp_path: Path) -> ImageDescription:
    return select(document(tmp_path, USERS, repository=REPOSITORIES))


# What is switched off


def test_unchecked_repositories_and_plain_passwords_are_warned_of(image: ImageDescription) -> None:
    own, user = risks(image)
    assert "the signature of the repository own is not checked" in own
    assert "The image itself will use it without a check, too" in own
    assert "the plain password of the user tux" in user and "openssl passwd -6" in user
    assert "canary" not in own + user
    assert [*risks(replace(image, repositories=image.repositories[1:], users=()))] == []


def test_a_build_warns(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    document(tmp_path, USERS, repository=REPOSITORIES)
    settings = Settings(store=tmp_path / "store", cache=tmp_path / "cache")
    overrides = Overrides(add_repo=("http://x.example.org/a,,added,,,false,,,./,false",))
    session = open_session(tmp_path, settings=settings, overrides=overrides)
    with suppress(CheckErrors):  # of this host
        session.check()
    for name in ("own", "added"):
        assert f"the signature of the repository {name} is not checked" in caplog.text


def test_the_result_says_what_was_not_checked(tmp_path: Path, image: ImageDescription) -> None:
    checked = replace(UNCHECKED, alias="good", checked=True)
    made = deliver(image, (), {}, tmp_path / "out", (checked, UNCHECKED))
    record = json.loads((tmp_path / "out" / RECORD).read_text())["kiwinb"]["repositories"]
    assert [(item["alias"], item["checked"]) for item in record] == [("good", True), ("own", False)]
    assert list_results(tmp_path / "out") == made
    assert "signatures not checked: own" in repr(made)
    assert "not checked" not in repr(replace(made, repositories=(checked,)))


def test_a_prepared_tree_remembers_it(tmp_path: Path, image: ImageDescription) -> None:
    overrides = Overrides(
        add_repo=("http://me:canary@x.example.org/a",), add_repo_credentials=("me:canary",)
    )
    facts = ExportFacts("x86_64", 0, overrides, (UNCHECKED,))
    write_export(tmp_path / "", image, "<image/>", facts)
    found = read_export(tmp_path)
    assert found.repositories == (UNCHECKED,)
    assert found.overrides == Overrides(add_repo=("http://x.example.org/a",))
    for file in (tmp_path / "image").iterdir():
        assert b"canary" not in file.read_bytes()


# Passwords of users

PASSWORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0\n\r"), min_size=1)


@settings_of_test(max_examples=8, deadline=None)
@given(password=PASSWORDS.filter(lambda text: len(text.encode()) <= 256))  # openssl reads no more
@pytest.mark.needs("openssl")
def test_the_hash_is_that_of_crypt(password: str) -> None:
    argv = ["openssl", "passwd", "-6", "-salt", "abcdef0123456789", "-stdin"]
    done = subprocess.run(argv, input=f"{password}\n".encode(), capture_output=True, check=True)
    assert sha512_crypt(password, "abcdef0123456789") == done.stdout.decode().strip()


def test_a_hash_is_stable_and_its_salt_tells_nothing_of_the_password() -> None:
    def salt(password: str, image: str = "image", name: str = "tux") -> str:
        user = hashed(User(name, password, "plain"), image)
        assert user.pwdformat == "encrypted" and password not in repr(user)
        return str(user.password).split("$")[2]

    assert hashed(User("tux", "a", "plain"), "i") == hashed(User("tux", "a", "plain"), "i")
    assert salt("canary") == salt("other")
    assert len({salt("canary"), salt("canary", "other"), salt("canary", name="fox")}) == 3
    encrypted = User("tux", "$6$a$b")
    assert hashed(encrypted, "image") is encrypted


def test_the_plan_has_no_plain_password(tmp_path: Path, image: ImageDescription) -> None:
    inputs = BuildInputs(Sources(), 0, (), RepositoryState((), 0, tmp_path))
    for step in plan_build(replace(image, repositories=()), inputs).steps:
        action = vars(step.action)
        assert "canary" not in repr(action)
        for user in action.get("users", ()):
            assert user.password.startswith("$6$")


# What is shown and kept


def test_a_shown_description_has_no_secrets(tmp_path: Path) -> None:
    tree = document(tmp_path, USERS, repository=REPOSITORIES).tree
    before = to_xml(tree)
    shown = to_xml(without_secrets(tree))
    assert "canary" in before and "canary" not in shown and to_xml(tree) == before
    assert "http://x.example.org/r" in shown and "https://x.example.org/k" in shown
    assert "plain" not in shown and "$6$a$b" in shown
    (tmp_path / "again").mkdir()
    (tmp_path / "again/config.xml").write_text(shown)
    again = select(read(tmp_path / "again"))
    assert [item.password for item in again.repositories] == [None, None]


def test_logins_of_keys_are_kept_apart() -> None:
    given = Repository("http://x", signing=("https://me:canary@x/k", "https://x/other"))
    added = replace(given, signing=(*given.signing, "ftp://a:canary2@x/k"))
    assert added.signing == ("https://x/k", "https://x/other", "ftp://x/k")
    assert added.key_logins == (("https://x/k", "me", "canary"), ("ftp://x/k", "a", "canary2"))
    assert "canary" not in repr(added)


def test_overrides_show_no_secrets() -> None:
    given = Overrides(
        set_repo="http://me:canary@x.example.org/r,apt-deb",
        set_repo_credentials="me:canary",
        add_repo_credentials=("me:canary",),
        signing_key=("https://me:canary@x.example.org/k",),
        add_package=("less",),
    )
    assert repr(given) == (
        "Overrides(set_repo='http://x.example.org/r,apt-deb', add_package=('less',), "
        "signing_key=('https://x.example.org/k',))"
    )


def test_a_malformed_option_shows_no_secrets() -> None:
    with pytest.raises(DescriptionError, match="is not a list of keys") as caught:
        parse_repository("http://x,,,,,,https://me:canary@x/k", "--add-repo")
    assert "canary" not in str(caught.value)


def test_arguments_are_hidden() -> None:
    program = (
        "from pathlib import Path\nfrom kiwinb.cli.arguments import hide, hide_logins\n"
        "hide('me:canary')\nhide_logins('http://you:kanarie@x/r,http://a:b@x')\n"
        "print(Path('/proc/self/cmdline').read_bytes())\n"
    )
    given = ["--x", "me:canary", "--y=http://you:kanarie@x/r", "last"]
    argv = [sys.executable, "-c", program, *given]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert "--x\\x00xxxxxxxxx\\x00--y=http://xxxxxxxxxxx@x/r\\x00last" in done.stdout
