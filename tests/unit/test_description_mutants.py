"""Mutants of all descriptions: an error each, or an image; never anything else."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from description_mutants import Mutant, mutant

from kiwinb.description.document import read
from kiwinb.description.reference import undeclared, warnings
from kiwinb.description.select import effective, select
from kiwinb.errors import DescriptionError, DescriptionErrors
from kiwinb.prepare.profile import profile_variables
from kiwinb.storage.volumes import volumes

DATA = Path(__file__).parents[1] / "data/descriptions"
WILD = DATA / "wild"
EACH = 112
"""Mutants of each description; about 5,000 together."""

LONGEST = 600
"""Characters of an error message without the name of the file."""

ELSEWHERE = ("image", "packages", "profile", "requires", "preferences")
"""Elements at which an error may be that comes of a change somewhere else."""


def test_five_thousand_mutants(tmp_path: Path) -> None:
    kinds: Counter[str] = Counter()
    verdicts: Counter[str] = Counter()
    wrong: list[str] = []
    for source in sorted(path for path in (*DATA.iterdir(), *WILD.iterdir()) if path != WILD):
        directory = tmp_path / source.name
        shutil.copytree(source, directory)
        files = [path for path in sorted(directory.rglob("*.*")) if path.name != "expected.yaml"]
        for number in range(EACH):
            chance = random.Random(f"{source.name} {number}")
            file = chance.choice(files)
            before = file.read_bytes()
            made = mutant(before, chance)
            file.write_bytes(made.data)
            problems, verdict = _verdict(directory, file, made)
            file.write_bytes(before)
            kinds[made.what] += 1
            verdicts[verdict] += 1
            wrong += [f"{source.name} {number} {made.what}: {item}" for item in problems]
    assert not wrong, f"{len(wrong)} wrong:\n" + "\n".join(wrong[:40])
    assert sum(verdicts.values()) >= 5000
    assert verdicts["error"] > 2000
    assert verdicts["valid"] > 500
    assert min(kinds.values()) > 20, kinds


def _verdict(directory: Path, changed: Path, made: Mutant) -> tuple[list[str], str]:
    """What is wrong with how a mutant is read, and whether it is valid."""
    try:
        document = read(directory)
        undeclared(document.tree)
        warnings(document.tree)
        image = select(document, arch="x86_64")
        profile_variables(image)
        volumes(image)
        effective(document, arch="x86_64")
    except DescriptionErrors as several:
        return [text for error in several.errors for text in _faults(error, changed, made)], "error"
    except DescriptionError as error:
        return [*_faults(error, changed, made)], "error"
    except Exception as error:
        return [f"{type(error).__name__}: {str(error)[:200]}"], "crash"
    return [], "valid"


def _faults(error: DescriptionError, changed: Path, made: Mutant) -> Iterator[str]:
    said = str(error)
    if error.location is None or not error.location.file.is_file():
        yield f"no file: {said[:300]}"
        return
    file, line = error.location.file, error.location.line
    if len(said) - len(str(file)) > LONGEST:
        yield f"{len(said) - len(str(file))} characters: {said[:200]}"
    if not error.remedy:
        yield f"no remedy: {said[:200]}"
    if "\n" in error.problem or not said.replace("\n", "").isprintable():
        yield f"unprintable: {said[:200]!r}"
    if "&amp;" in said and not made.data.lstrip().startswith(b"<"):
        yield f"speaks of XML: {said[:300]}"
    if line is None:
        if "too large" not in said:
            yield f"no line: {said[:300]}"
    elif not 1 <= line <= file.read_bytes().count(b"\n") + 1:
        yield f"there is no line {line}: {said[:300]}"
    elif (
        file == changed
        and made.lines
        and line not in made.lines
        and error.location.element not in ELSEWHERE
    ):
        yield f"not in one of the lines {sorted(made.lines)}: {said[:300]}"
