"""The real package managers fill trees from the small distributions that are made for tests."""

import base64
import gzip
import hashlib
import os
import stat
import subprocess
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pytest
from made import Made, made

pytestmark = [pytest.mark.build, pytest.mark.account("root")]

SYSTEM = (
    *("test-release", "bash", "coreutils", "findutils", "grep", "gzip", "iputils-ping", "login"),
    *("mawk", "mount", "passwd", "sed", "tar", "tzdata"),
)
FEATURES = (
    *("test-config", "test-doc", "test-modes", "test-needs-alternative", "test-old"),
    *("test-scripts", "test-sysuser", "test-trigger"),
)
RPM_ONLY = ("rpm", "test-lua")
CHANGED = {"/etc/group", "/etc/gshadow", "/etc/passwd", "/etc/shadow"}
"""The files that the account of test-sysuser is added to."""

MACROS = "%_dbpath /usr/lib/sysimage/rpm\n%_db_backend sqlite\n"


@pytest.fixture(autouse=True)
def no_agents(tmp_path: Path) -> Iterator[None]:
    """End the agents of GnuPG that dnf leaves behind."""
    yield
    for home in tmp_path.rglob("pubring"):
        subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=False)


@dataclass
class Manager:
    """A package manager of the host, which knows the repositories of a distribution.

    Attributes:
        argv: The command, without what it is to do.
        root: The tree.
        env: Its environment.
    """

    argv: Sequence[str | Path]
    root: Path
    env: dict[str, str]

    def run(self, *arguments: str) -> str:
        """Run it; return what it says."""
        done = self.try_to(*arguments)
        assert done.returncode == 0, done.stdout[-3000:]
        return done.stdout

    def try_to(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run it, which may fail."""
        return subprocess.run(
            [*self.argv, *arguments],
            env=self.env,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )


def new_tree(directory: Path) -> tuple[Path, dict[str, str]]:
    """A tree, and an environment in which rpm keeps its database where the tree's rpm looks."""
    root, home = directory / "root", directory / "home"
    root.mkdir()
    home.mkdir()
    (home / ".rpmmacros").write_text(MACROS)
    return root, {**os.environ, "HOME": str(home), "LC_ALL": "C.UTF-8"}


def dnf(directory: Path, distribution: Made, key: Path) -> Manager:
    root, env = new_tree(directory)
    lines = ["[main]", f"cachedir={directory}/cache", "reposdir=/dev/null", "plugins=0"]
    for name, place in (("base", distribution.root), ("updates", distribution.updates)):
        lines += [f"[{name}]", f"name={name}", f"baseurl=file://{place}", f"gpgkey=file://{key}"]
        lines += ["gpgcheck=1", "repo_gpgcheck=1"]
    (directory / "dnf.conf").write_text("\n".join(lines) + "\n")
    options = ("--assumeyes", "--releasever=1", "--setopt=install_weak_deps=0")
    argv: list[str | Path] = [
        "dnf",
        "-c",
        directory / "dnf.conf",
        f"--installroot={root}",
        *options,
    ]
    return Manager(argv, root, env)


def zypper(directory: Path, distribution: Made, key: Path) -> Manager:
    root, env = new_tree(directory)
    subprocess.run(["rpm", f"--root={root}", "--import", key], env=env, check=True)
    (root / "etc/zypp/repos.d").mkdir(parents=True)
    for name, place in (("base", distribution.root), ("updates", distribution.updates)):
        text = f"[{name}]\nenabled=1\nbaseurl=dir:{place}\n"
        text += "gpgcheck=1\nrepo_gpgcheck=1\npkg_gpgcheck=1\n"
        (root / f"etc/zypp/repos.d/{name}.repo").write_text(text)
    return Manager(["zypper", "--non-interactive", "--root", root], root, env)


def pacman(directory: Path, distribution: Made, key: Path) -> Manager:
    root, env = new_tree(directory)
    keys, database = directory / "keys", root / "var/lib/pacman"
    database.mkdir(parents=True)
    for job in (["--init"], ["--add", key], ["--lsign-key", "example.org"]):
        argv: list[str | Path] = ["pacman-key", "--gpgdir", keys, *job]
        subprocess.run(argv, env=env, check=True, capture_output=True)
    subprocess.run(["gpgconf", "--homedir", keys, "--kill", "all"], check=True)
    lines = ["[options]", f"RootDir={root}", f"DBPath={database}", f"GPGDir={keys}"]
    lines += [f"CacheDir={directory}/cache", f"LogFile={directory}/log"]
    lines += [f"HookDir={root}/etc/pacman.d/hooks", "Architecture=x86_64"]
    lines += ["SigLevel=Required", "[updates]", f"Server=file://{distribution.updates}"]
    lines += ["[main]", f"Server=file://{distribution.root}"]
    (directory / "cache").mkdir()
    (directory / "pacman.conf").write_text("\n".join(lines) + "\n")
    return Manager(["pacman", "--config", directory / "pacman.conf", "--noconfirm"], root, env)


def check_tree(root: Path) -> None:
    """The owners, modes and capabilities are right, and the scripts and the trigger have run."""
    ping = os.getxattr(root / "usr/bin/ping", "security.capability")
    assert int.from_bytes(ping[4:8], "little") == 1 << 13
    modes = root / "usr/share/test-modes"
    assert stat.S_IMODE((modes / "set-user-id").stat().st_mode) == 0o4755
    assert stat.S_IMODE((modes / "empty").stat().st_mode) == 0o1777
    assert {path.name for path in modes.iterdir()} >= {"100%s", "[x]*?", "grüße", "with a space"}
    assert (root / "etc/shadow").stat().st_gid == (root / "usr/bin/chage").stat().st_gid == 42
    own = (root / "var/lib/testuser/own").stat()
    line = f"testuser:x:{own.st_uid}:{own.st_gid}:"
    assert own.st_uid and own.st_gid and line in (root / "etc/passwd").read_text()
    assert (root / "bin/sh").resolve().name == "bash"
    assert "test-config\n" in (root / "var/lib/test-trigger/log").read_text()


def log_of_scripts(root: Path) -> list[str]:
    return (root / "var/lib/test-scripts/log").read_text().splitlines()


def inside(root: Path, *argv: str) -> str:
    """What a program of the tree says."""
    env = {"PATH": "/usr/sbin:/usr/bin"}
    return subprocess.run(
        ["chroot", root, *argv], env=env, capture_output=True, text=True, check=False
    ).stdout


def altered(root: Path) -> set[str]:
    """What the tree's own rpm says of its files."""
    return {line.split()[-1] for line in inside(root, "rpm", "-Va").splitlines()}


@pytest.mark.needs("dnf", "rpmbuild", "createrepo_c")
def test_dnf(tmp_path: Path) -> None:
    distribution = made("fedora")
    manager = dnf(tmp_path, distribution, distribution.key)
    manager.run("--disablerepo=updates", "install", *SYSTEM, *FEATURES, *RPM_ONLY)
    check_tree(manager.root)
    assert altered(manager.root) == CHANGED
    assert log_of_scripts(manager.root) == ["pre 1.0 1", "post 1.0 1"]
    assert (manager.root / "var/lib/test-lua/log").read_text() == "lua\n"
    (manager.root / "etc/test-config.conf").write_text("own\n")
    manager.run("upgrade")
    assert (manager.root / "etc/test-config.conf.rpmnew").read_text() == "version = 2.0\n"
    assert "test-obsoletes-2.0-1" in inside(manager.root, "rpm", "-q", "--whatprovides", "test-old")
    manager.run("remove", "test-scripts")
    assert log_of_scripts(manager.root)[2:] == [
        *("pre 2.0 2", "post 2.0 2", "preun 1.0 1", "postun 1.0 1"),
        *("preun 2.0 0", "postun 2.0 0"),
    ]


@pytest.mark.needs("dnf", "rpmbuild", "createrepo_c")
def test_dnf_refuses(tmp_path: Path) -> None:
    distribution = made("fedora")
    (tmp_path / "other").mkdir()
    unsigned = dnf(tmp_path / "other", distribution, distribution.other_key)
    assert "repomd.xml GPG signature verification error" in unsigned.try_to("makecache").stdout
    manager = dnf(tmp_path, distribution, distribution.key)
    for names, complaint in (
        (["test-conflict-a", "test-conflict-b"], "conflicts with test-conflict-b"),
        (["test-file-conflict-a", "test-file-conflict-b"], "file /usr/share/test-file-conflict/"),
        (["test-missing-dep"], "nothing provides test-nobody-has-this >= 1.0"),
        (["test-broken-script"], "PREIN scriptlet"),
    ):
        done = manager.try_to("install", *names)
        assert done.returncode and complaint in done.stdout, done.stdout
    manager.run("--setopt=install_weak_deps=1", "install", "test-recommends", "@test-base")
    listed = manager.run("list", "--installed")
    assert "test-recommended.noarch" in listed and "bash.x86_64" in listed


@pytest.mark.needs("zypper", "rpmbuild", "createrepo_c")
def test_zypper(tmp_path: Path) -> None:
    distribution = made("suse")
    manager = zypper(tmp_path, distribution, distribution.key)
    names = [*SYSTEM, *FEATURES, *RPM_ONLY]
    manager.run("install", "--no-recommends", "--repo", "base", *names)
    check_tree(manager.root)
    assert altered(manager.root) == CHANGED
    assert "kiwinb-test" in manager.run("products", "--installed-only")
    manager.run("update")
    manager.run("install", "--type", "pattern", "test-base")
    assert "test-recommended" in inside(manager.root, "rpm", "-qa")
    assert "test-config-2.0-1" in inside(manager.root, "rpm", "-q", "test-config")
    (tmp_path / "other").mkdir()
    unsigned = zypper(tmp_path / "other", distribution, distribution.other_key)
    done = unsigned.try_to("refresh")
    assert done.returncode and "Signature verification failed" in done.stdout, done.stdout


@pytest.mark.needs("pacman", "makepkg", "repo-add", "fakeroot")
def test_pacman(tmp_path: Path) -> None:
    distribution = made("arch")
    manager = pacman(tmp_path, distribution, distribution.key)
    names = [f"main/{name}" for name in (*SYSTEM, *FEATURES)]
    manager.run("-Sy", *names)
    check_tree(manager.root)
    said = manager.try_to("-Qkk").stdout.splitlines()
    assert {line.split(":")[0] for line in said if not line.endswith(" 0 altered files")} == {
        "warning",  # of files whose owner has no number before useradd makes the account
        "backup file",
        "test-sysuser",
    }
    assert log_of_scripts(manager.root) == ["pre 1.0 1.0-1", "post 1.0 1.0-1"]
    manager.run("-Su")
    assert "test-obsoletes 2.0-1" in manager.run("-Q")
    (tmp_path / "other").mkdir()
    unsigned = pacman(tmp_path / "other", distribution, distribution.other_key)
    done = unsigned.try_to("-Sy")
    assert done.returncode and "is unknown" in done.stdout, done.stdout


def streams(data: bytes) -> Iterator[bytes]:
    """The gzip streams that a file consists of."""
    while data:
        stream = zlib.decompressobj(wbits=31)
        stream.decompress(data)
        yield data[: len(data) - len(stream.unused_data)]
        data = stream.unused_data


def is_signed(signature: bytes, data: bytes, key: Path, work: Path) -> bool:
    """Whether the only file in a stream is the signature of data with a key."""
    with tarfile.open(fileobj=BytesIO(gzip.decompress(signature))) as tar:
        (member,) = tar.getmembers()
        content = tar.extractfile(member)
        assert content and member.name.startswith(".SIGN.RSA.")
        (work / "signature").write_bytes(content.read())
    (work / "data").write_bytes(data)
    argv: list[str | Path] = ["openssl", "dgst", "-sha1", "-verify", key]
    argv += ["-signature", work / "signature", work / "data"]
    done = subprocess.run(argv, capture_output=True, check=False)
    return done.returncode == 0 and key.name == member.name.removeprefix(".SIGN.RSA.")


@pytest.mark.needs("openssl")
def test_apk_by_its_description(tmp_path: Path) -> None:
    """No Debian has an apk that could tell."""
    distribution = made("alpine")
    for place in (distribution.root / "x86_64", distribution.updates / "x86_64"):
        signature, index = streams((place / "APKINDEX.tar.gz").read_bytes())
        assert is_signed(signature, index, distribution.key, tmp_path)
        assert not is_signed(signature, index, distribution.other_key, tmp_path)
        with tarfile.open(fileobj=BytesIO(index)) as tar:
            content = tar.extractfile("APKINDEX")
            assert content
            records = [record.splitlines() for record in content.read().decode().split("\n\n")]
        listed = [dict(line.split(":", 1) for line in record) for record in records if record]
        assert len(listed) == len([*place.glob("*.apk")])
        for fields in listed:
            file = place / f"{fields['P']}-{fields['V']}.apk"
            signature, control, data = streams(file.read_bytes())
            assert is_signed(signature, control, distribution.key, tmp_path)
            assert f"datahash = {hashlib.sha256(data).hexdigest()}\n".encode() in gzip.decompress(
                control
            )
            checksum = base64.b64encode(hashlib.sha1(control).digest()).decode()
            assert (fields["C"], fields["S"]) == (f"Q1{checksum}", str(file.stat().st_size))
