"""The first packages of each distribution: ``setup``, ``filesystem`` and ``test-release``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from made_packages import Entry, Package, Relation, Scripts, Version, directory, symlink, text

_VERSION = Version.of("1.0-1")

_DIRECTORIES = (
    *("boot", "dev", "etc", "etc/skel", "home", "media", "mnt", "opt", "proc", "run", "srv"),
    *("etc/pam.d", "etc/profile.d", "etc/security"),
    *("sys", "usr", "usr/bin", "usr/games", "usr/include", "usr/lib", "usr/lib64", "usr/local"),
    *("usr/lib/x86_64-linux-gnu", "usr/libexec", "usr/local/bin", "usr/local/sbin", "usr/sbin"),
    *("usr/share", "usr/share/misc", "usr/src", "var", "var/cache", "var/lib", "var/log"),
    *("var/local", "var/opt", "var/spool"),
)
_MODES: Mapping[str, int] = {"root": 0o700, "tmp": 0o1777, "var/tmp": 0o1777}
_LINKS: Mapping[str, str] = {
    "bin": "usr/bin",
    "lib64": "usr/lib64",
    "sbin": "usr/sbin",
    "var/run": "../run",
    "var/lock": "../run/lock",
}

_USERS = (
    *("root:0:0:/root:/bin/bash", "daemon:1:1:/usr/sbin:/usr/sbin/nologin"),
    *("bin:2:2:/bin:/usr/sbin/nologin", "man:6:12:/var/cache/man:/usr/sbin/nologin"),
    *("mail:8:8:/var/mail:/usr/sbin/nologin", "nobody:65534:65534:/:/usr/sbin/nologin"),
)
_GROUPS = (
    *("root:0", "daemon:1", "bin:2", "sys:3", "adm:4", "tty:5", "disk:6", "lp:7", "mail:8"),
    *("man:12", "kmem:15", "dialout:20", "cdrom:24", "floppy:25", "tape:26", "sudo:27"),
    *("audio:29", "dip:30", "operator:37", "src:40", "shadow:42", "utmp:43", "video:44"),
    *("plugdev:46", "staff:50", "games:60", "users:100", "nogroup:65534"),
)
USER_IDS: Mapping[str, int] = {
    name: int(uid) for name, uid in (line.split(":")[:2] for line in _USERS)
}
"""Ids of users, by name."""

GROUP_IDS: Mapping[str, int] = {
    name: int(gid) for name, gid in (line.split(":") for line in _GROUPS)
}
"""Ids of groups, by name."""

_PAM: Mapping[str, str] = {
    "account": "account required pam_unix.so\n",
    "auth": "auth required pam_unix.so nullok\n",
    "password": "password required pam_unix.so yescrypt\n",
    "session": "session required pam_unix.so\n",
    "session-noninteractive": "session required pam_unix.so\n",
}
_NSSWITCH = "passwd: files\ngroup: files\nshadow: files\ngshadow: files\nhosts: files dns\n"
_PROFILE = "export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin\n"
_SHELLS = "/bin/sh\n/bin/bash\n/usr/bin/sh\n/usr/bin/bash\n"


def setup() -> Package:
    """The package that is installed first: the accounts, by which others name their owners."""
    users = [line.split(":") for line in _USERS]
    passwd = (f"{name}:x:{uid}:{gid}:{name}:{':'.join(rest)}\n" for name, uid, gid, *rest in users)
    group = (f"{line.replace(':', ':x:')}:\n" for line in _GROUPS)
    names = [f"user({name})" for name, *_ in users]
    names += [f"group({line.partition(':')[0]})" for line in _GROUPS]
    return Package(
        name="setup",
        version=_VERSION,
        summary="Accounts",
        entries=[
            text("etc/group", "".join(group), config=True),
            text("etc/passwd", "".join(passwd), config=True),
        ],
        provides=tuple(map(Relation, names)),
    )


def filesystem(*, keeps_lib: bool = False) -> Package:
    """The package that everything else needs: base directories, and their links.

    Args:
        keeps_lib: Whether ``/lib`` is a directory, where apk has made its database by then.
    """
    lib = [directory("lib"), symlink("lib/x86_64-linux-gnu", "../usr/lib/x86_64-linux-gnu")]
    tree = [*_tree(), *(lib if keeps_lib else [symlink("lib", "usr/lib")])]
    return Package(
        name="filesystem",
        version=_VERSION,
        summary="Base directories",
        entries=sorted([*tree, *_shadow()], key=lambda entry: entry.path),
        requires=((Relation("setup"),),),
    )


def _tree() -> Iterator[Entry]:
    for path in _DIRECTORIES:
        yield directory(path)
    for path, mode in _MODES.items():
        yield directory(path, mode)
    yield directory("var/mail", 0o2775, group="mail")
    for path, target in _LINKS.items():
        yield symlink(path, target)
    yield text("etc/nsswitch.conf", _NSSWITCH, config=True)
    yield text("etc/profile", _PROFILE, config=True)
    yield text("etc/shells", _SHELLS, config=True)
    yield text("etc/host.conf", "multi on\n", config=True)
    for name, content in _PAM.items():
        yield text(f"etc/pam.d/common-{name}", content, config=True)


def _shadow() -> Iterator[Entry]:
    shadow = "".join(f"{line.partition(':')[0]}:*:19000:0:99999:7:::\n" for line in _USERS)
    yield text("etc/shadow", shadow, 0o640, group="shadow", config=True)
    gshadow = "".join(f"{line.partition(':')[0]}:*::\n" for line in _GROUPS)
    yield text("etc/gshadow", gshadow, 0o640, group="shadow", config=True)


_RPM_MACROS = "%_dbpath /usr/lib/sysimage/rpm\n%_db_backend sqlite\n"
_PRODUCT = """\
<?xml version="1.0" encoding="UTF-8"?>
<product schemeversion="0">
  <vendor>kiwinb</vendor>
  <name>kiwinb-test</name>
  <version>1.0</version>
  <release>1</release>
  <arch>x86_64</arch>
  <summary>Small distribution for tests</summary>
</product>
"""
_LIKE: Mapping[str, str] = {
    "fedora": "fedora",
    "suse": "suse opensuse",
    "arch": "arch",
    "alpine": "alpine",
}


def release(kind: str) -> Package:
    """The package that says what the distribution is.

    Args:
        kind: ``fedora``, ``suse``, ``arch`` or ``alpine``.
    """
    os_release = (
        'NAME="Small distribution for tests"\nPRETTY_NAME="Small distribution for tests 1.0"\n'
        f'ID=kiwinb-test\nID_LIKE="{_LIKE[kind]}"\nVERSION_ID=1.0\n'
    )
    entries = [
        text("usr/lib/os-release", os_release),
        symlink("etc/os-release", "../usr/lib/os-release"),
        text("etc/issue", "Small distribution for tests\n", config=True),
    ]
    provides = [Relation("system-release", "=", _VERSION), Relation("distribution-release")]
    if kind in ("fedora", "suse"):
        entries.append(text("usr/lib/rpm/macros.d/macros.kiwinb-test", _RPM_MACROS))
        entries.append(directory("usr/lib/sysimage/rpm"))
    if kind == "suse":
        entries.append(text("etc/products.d/kiwinb-test.prod", _PRODUCT))
        entries.append(symlink("etc/products.d/baseproduct", "kiwinb-test.prod"))
        provides.append(Relation("product()", "=", Version.of("kiwinb-test")))
        provides.append(Relation("product(kiwinb-test)", "=", _VERSION))
    return Package(
        name="test-release",
        version=_VERSION,
        summary="What this distribution is",
        entries=entries,
        requires=((Relation("filesystem"),),),
        provides=tuple(provides),
        scripts=Scripts(),
    )
