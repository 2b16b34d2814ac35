"""Turn the output of a failed apt into a clear error."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from kiwinb.clock import clock_hint
from kiwinb.errors import KiwinbError, PackageError, RepositoryError
from kiwinb.packages.apt.host_sources import host_proxy
from kiwinb.packages.apt.sources import mirror_list
from kiwinb.packages.failures import CLASH, DAMAGED, SCRIPT, Mark, failure
from kiwinb.packages.manager import ResolvedRepository, outdated_remedy
from kiwinb.spelling import with_near

_MISSING = re.compile(
    r"E: (?:Unable to locate package (\S+)|Package '([^']+)' has no installation candidate"
    r"|Couldn't find task '([^']+)')"
)
_INSTEAD = re.compile(
    r"Package (?P<virtual>\S+) is a virtual package provided by:"
    r"|Package (?P<gone>\S+) is not available, but is referred to by another package\."
)
_REPLACED = "However the following packages replace it:"
_SIGNATURE = re.compile(r"GPG|OpenPGP|fetch")
_UNKNOWN_KEY = re.compile(r"(?:NO_PUBKEY|Missing key) ([0-9A-F]{16,64})\b")
"""What apt passes on from gpgv, and since apt 3 from sqv."""

_OUT_OF_TIME = re.compile(
    r"EXPKEYSIG|EXPSIG|KEYEXPIRED|not live until|[Ee]xpired on|is expired\b"
    r"|certificate.*(?:expired|not (?:yet )?(?:valid|activated))"
)
"""What apt passes on of keys and signatures, and of certificates."""

_CHANGED = re.compile("BADSIG|Message has been manipulated|[Bb]ad signature")
_NOT_SIGNED = re.compile(r"(?:repository|Release file) .*is (?:not signed|no longer signed)")
_WRONG_SIGNATURE = re.compile(r"(?:GPG|OpenPGP) (?:error|signature verification)")
_ANOTHER = re.compile(r"File has unexpected size|Hash Sum mismatch")
"""What apt says of an index that was changed, of one without a signature, of a signature that is
wrong, and of other files than those that the index lists."""

_HASHES = re.compile(r"\s*(?:- (?:SHA\d+|MD5Sum|Filesize):|Hashes of (?:expected|received) file:)")
"""Lines with the digests of a file, which nobody compares by eye."""

_CONFLICTS = "The following packages have unmet dependencies:"


def missing_names(lines: Iterable[str]) -> tuple[str, ...]:
    """Return the package names that apt did not find, in its order, without duplicates."""
    found = (match for line in lines if (match := _MISSING.match(line)))
    return tuple(dict.fromkeys(next(filter(None, match.groups())) for match in found))


def complaints(lines: Sequence[str]) -> str:
    """Return the errors in apt's output, or else its warnings or its last lines, indented.

    Warnings about signatures and downloads are added to errors.
    """
    errors, reason = [], False
    for line in lines:
        reason = line.startswith("Err:") or (reason and line.startswith("  "))
        if (reason or line.startswith("E:")) and not _HASHES.match(line):
            errors.append(line.strip())
    warnings = [line for line in lines if line.startswith("W:")]
    said = [*errors, *(line for line in warnings if _SIGNATURE.search(line))]
    return "\n".join(f"  {line}" for line in dict.fromkeys(said or warnings or lines[-10:]))


def repositories_in(line: str, repositories: Sequence[ResolvedRepository]) -> list[int]:
    """Return the numbers of the repositories whose URL, or list of mirrors, a line has.

    Args:
        line: A line that apt printed.
        repositories: The repositories, in the order of the sources.
    """
    words = f"{line} "

    def places(number: int, repository: ResolvedRepository) -> Iterator[str]:
        yield f"{mirror_list(number)} "
        yield f"{mirror_list(number)}/"
        for url in repository.urls:
            bare = url.replace("file:///", "copy:/").rstrip("/")
            yield from (f"{bare} ", f"{bare}/")

    return [
        number
        for number, repository in enumerate(repositories)
        if any(place in words for place in places(number, repository))
    ]


def concerned(lines: Iterable[str], repositories: Sequence[ResolvedRepository]) -> str:
    """Name the repositories whose URLs are in apt's errors, or else all of them.

    Args:
        lines: apt's output.
        repositories: The repositories.
    """
    errors = [line for line in lines if line.startswith(("Err:", "E:"))]
    found = (number for line in errors for number in repositories_in(line, repositories))
    aliases = [repositories[number].alias for number in sorted(set(found))]
    aliases = aliases or [item.alias for item in repositories]
    if not aliases:
        return "a repository"
    return f"the repositor{'ies' if len(aliases) > 1 else 'y'} {', '.join(aliases)}"


def unreadable(
    lines: Sequence[str], repositories: Sequence[ResolvedRepository] = ()
) -> RepositoryError:
    """Make the error for repositories whose metadata apt could not read.

    Args:
        lines: apt's output.
        repositories: The repositories.
    """
    whose = concerned(lines, repositories)
    if any("is expired (invalid since" in line for line in lines):
        named = [item for item in repositories if item.checked and not item.outdated_allowed]
        return RepositoryError(
            f"the index of {whose} has expired: its mirror is not updated any more, or "
            f"somebody keeps updates back:\n{complaints(lines)}",
            remedy="\n  ".join(
                [clock_hint(), "Name another mirror.", *map(outdated_remedy, named)]
            ),
        )
    if any("is not valid yet (invalid for another" in line for line in lines):
        return RepositoryError(
            f"the index of {whose} is of the future:\n{complaints(lines)}",
            remedy=f"{clock_hint()} Otherwise, that of its mirror is wrong.",
        )
    if any(_OUT_OF_TIME.search(line) for line in lines):
        return RepositoryError(
            f"a certificate, key or signature of {whose} is not valid at the time that the clock "
            f"of this host says:\n{complaints(lines)}",
            remedy=f"{clock_hint()} Otherwise, name a mirror or a key that is valid.",
        )
    if error := _unsigned(lines, whose):
        return error
    proxy = host_proxy()
    return RepositoryError(
        f"{whose} cannot be read:\n{complaints(lines)}",
        remedy="Check its URL, its suite and its signing key, and that this host reaches it, or "
        "name another mirror."
        + (
            f"\n  The host's apt uses the proxy {proxy}. kiwinb does not read apt's configuration; "
            "if it is to use the proxy, set the environment variable http_proxy."
            if proxy
            else ""
        ),
    )


def _unsigned(lines: Sequence[str], whose: str) -> RepositoryError | None:
    """Make the error for an index without a signature that can be trusted."""
    keys = dict.fromkeys(key for line in lines for key in _UNKNOWN_KEY.findall(line))
    if keys:
        return RepositoryError(
            f"{whose} is signed with the key {', '.join(keys)}, which kiwinb was not told to "
            f"trust:\n{complaints(lines)}",
            remedy="If you trust it, name the file with this key in <signing key=…/> of the "
            "repository.",
        )
    if any(_CHANGED.search(line) for line in lines):
        return RepositoryError(
            f"the index of {whose}, or its signature, was changed after it was signed:\n"
            f"{complaints(lines)}",
            remedy="Run again, as the mirror may have been changing, or use another mirror.",
        )
    is_wrong = any(_WRONG_SIGNATURE.search(line) for line in lines)
    if not is_wrong and any(_NOT_SIGNED.search(line) for line in lines):
        return RepositoryError(
            f"the index of {whose} has no signature:\n{complaints(lines)}",
            remedy='Use a mirror that has one, or set repository_gpgcheck="false" to use it '
            "unchecked.",
        )
    return None


def missing_packages(lines: Sequence[str], known: Sequence[str]) -> PackageError:
    """Make the error for names that no repository has, or that several packages provide.

    Args:
        lines: apt's output, in which :func:`missing_names` found some.
        known: The names of all packages in the repositories.
    """
    instead, said = _instead(lines), []
    for name in missing_names(lines):
        plain = name.partition("=")[0]
        if plain in instead:
            said.append(f"  {name} (choose one of: {', '.join(instead[plain])})")
            continue
        said.append(with_near(plain, known, name))
    return PackageError(
        "the repositories have no installable package of these names:\n" + "\n".join(said),
        remedy="Name one of the packages that provide or replace a name, correct the others, "
        "or add the repository or component that has them."
        if instead
        else "Correct the names, or add the repository or component that has them.",
    )


def _instead(lines: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
    """Return the packages that provide or replace names, by name.

    apt lists providers one a line, with their versions, and replacements by their names alone.
    """
    found: dict[str, set[str]] = {}
    name, provided, listing = "", False, False
    for line in lines:
        if match := _INSTEAD.match(line):
            name, provided = match[match.lastgroup or 0], match["virtual"] is not None
            listing = provided
        elif line == _REPLACED:
            listing = True
        elif listing and line.startswith("  "):
            words = line.split()[: 1 if provided else None]
            found.setdefault(name, set()).update(word.partition(":")[0] for word in words)
        else:
            listing = False
    return {name: tuple(sorted(packages)) for name, packages in found.items()}


def explain(lines: Sequence[str], repositories: Sequence[ResolvedRepository]) -> KiwinbError | None:
    """Make an error from the output of a failed apt; ``None`` if the output is not understood.

    Args:
        lines: Its output.
        repositories: The repositories.
    """
    gone = any(re.search(r"\b404  ", line) for line in lines)
    if gone or any(_ANOTHER.search(line) for line in lines):
        how = "not on the mirror any more" if gone else "not those that the index lists"
        return RepositoryError(
            f"packages of {concerned(lines, repositories)} are {how}:\n{complaints(lines)}",
            remedy="The mirror has changed since its lists were read. "
            "Run again with --clear-cache to read them anew. If that does not help, use another "
            "mirror.",
        )
    if any(line.startswith("E: Failed to fetch") for line in lines):
        return RepositoryError(
            f"packages of {concerned(lines, repositories)} cannot be downloaded:\n"
            f"{complaints(lines)}",
            remedy="Check that this host reaches the mirror, and run again: packages that were "
            "downloaded are kept.",
        )
    if _CONFLICTS in lines:
        start = lines.index(_CONFLICTS)
        conflicts = [line for line in lines[start + 1 :] if line.startswith(" ")]
        return PackageError(
            "the packages cannot be installed together:\n" + "\n".join(conflicts),
            remedy="Drop one of them, or add the repository that has the versions they need.",
        )
    errors = [line for line in lines if line.startswith("E:")]
    if errors and not any("Sub-process" in line for line in errors):
        return PackageError("apt cannot do what it was asked to do:\n" + complaints(lines))
    return None


_MARKS = (
    Mark(CLASH, re.compile("trying to overwrite '.*', which is also in package")),
    Mark(
        DAMAGED,
        re.compile(
            r"dpkg-deb(?: \(subprocess\))?: "
            r".*(?:corrupt|unexpected end|not a Debian format archive)"
        ),
    ),
    Mark(SCRIPT, re.compile(r"package \S+ script subprocess (?:returned error|was killed)")),
)
"""What dpkg says of failures."""


def failed_transaction(lines: Sequence[str]) -> PackageError:
    """Make the error for a run of dpkg that failed.

    Args:
        lines: The output of apt or dpkg.
    """
    return failure("dpkg", lines, _MARKS)
