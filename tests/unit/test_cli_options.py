"""The command line has KIWI NG's commands and options, and docs/cli.md says what it has."""

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from kiwinb import errors
from kiwinb.cli import app
from kiwinb.cli.lazy import LazyCommands
from kiwinb.cli.reference import exit_statuses

ROOT = Path(__file__).parents[2]

BUILD = """
--add-bootstrap-package --add-container-label --add-package --add-repo --add-repo-credentials
--allow-existing-root --ca-cert --ca-target-distribution --clear-cache --delete-package --help
--ignore-repos --ignore-repos-used-for-build --set-container-derived-from --set-container-tag
--set-release-version --set-repo --set-repo-credentials --set-type-attr --signing-key
--description
"""
KIWI = {
    "": """--color-output --config --debug --debug-run-scripts-in-screen --help
        --install-completion --kiwi-file --logfile --loglevel --logsocket --profile --setenv
        --shared-cache-dir --show-completion --target-arch --temp-dir --type --version""",
    "system prepare": f"{BUILD} --root",
    "system build": f"{BUILD} --target-dir",
    "system create": "--help --signing-key --root --target-dir",
    "system update": "--add-package --delete-package --help --root",
    "result list": "--help --target-dir",
    "result bundle": """--bundle-format --help --no-compress --package-as-rpm --zsync-source
        --bundle-dir --id --target-dir""",
    "image info": """--add-repo --add-repo-credentials --help --ignore-repos --list-profiles
        --print-kiwi-env --print-toml --print-xml --print-yaml --resolve-package-list
        --description""",
    "image resize": "--help --root --size --target-dir",
}
"""KIWI NG's options, by command."""

OURS = {
    "": {"--json"},
    "system prepare": {"--allow-outdated", "--network"},
    "system build": {"--allow-outdated", "--network"},
    "system create": {"--network"},
    "system update": {"--allow-outdated"},
}
"""Options that these commands have besides."""


def _command(words: str) -> click.Command:
    command: click.Command = app
    for word in words.split():
        assert isinstance(command, click.Group)
        command = command.commands[word]
    return command


@pytest.mark.parametrize("words", KIWI)
def test_options_are_those_of_kiwi(words: str) -> None:
    command = _command(words)
    context = click.Context(command, help_option_names=["-h", "--help"])
    names = {name for item in command.get_params(context) for name in getattr(item, "opts", ())}
    long = {name for name in names if name.startswith("--")}
    assert long == {*KIWI[words].split()} | OURS.get(words, set())


def test_credentials_are_read_from_the_files_that_are_named(tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    file.write_text("me:secret\n")
    given = ["--set-repo-credentials", str(file)]
    given += ["--add-repo-credentials", "you:other", "--add-repo-credentials", str(file)]
    places = ["--description", "d", "--target-dir", "t"]
    context = _command("system build").make_context("build", [*places, *given])
    assert context.params["set_repo_credentials"] == "me:secret"
    assert context.params["add_repo_credentials"] == ("you:other", "me:secret")


def test_every_option_has_a_help_text() -> None:
    def commands(group: click.Group) -> list[click.Command]:
        found: list[click.Command] = [group]
        for item in group.commands.values():
            found += commands(item) if isinstance(item, click.Group) else [item]
        return found

    for command in commands(app):
        assert command.help
        for option in command.params:
            if isinstance(option, click.Option):
                assert option.help, f"{command.name} {option.name}"


def test_the_reference_has_each_exit_status() -> None:
    kinds = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.KiwinbError)
    ]
    assert {kind.exit_status for kind in kinds} | {0, 2, 130} == {*exit_statuses()}
    own = [kind.exit_status for kind in kinds if "exit_status" in vars(kind)]
    assert len(own) == len(set(own))


def test_help_imports_no_command() -> None:
    script = (
        "import sys\n"
        "from click.testing import CliRunner\n"
        "from kiwinb.cli import app\n"
        "done = CliRunner().invoke(app, ['--help'])\n"
        "assert done.exit_code == 0 and 'Prepare root trees' in done.output, done.output\n"
        "slow = ('pandas', 'numpy', 'lxml', 'matplotlib', 'nbformat', 'IPython', 'anywidget')\n"
        "print([name for name in slow if name in sys.modules])\n"
        "ours = ('build', 'checkpoints', 'description', 'images', 'inspect', 'packages')\n"
        "print([name for name in ours if f'kiwinb.{name}' in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "[]\n[]\n", done.stderr


def test_every_command_has_its_line_in_the_help() -> None:
    commands = app.commands
    assert isinstance(commands, LazyCommands)
    for name, command in commands.items():
        said = (command.help or "").replace("\n", " ")
        assert commands.help_of(name).split()[0] == said.split()[0]
        assert command.name == name


@pytest.mark.parametrize(
    "words",
    [
        "kiwinb system build --description",
        "kiwinb system prepare --description",
        "kiwinb image info --description",
        "kiwinb doctor --description",
        "kiwinb inspect packages",
        "kiwinb inspect mtree",
        "kiwinb inspect diff",
        "kiwinb inspect diff a",
        "kiwinb inspect breakdown",
        "kiwinb run",
        "kiwinb --config",
    ],
)
def test_paths_are_completed(words: str) -> None:
    environment = {
        **os.environ,
        "_KIWINB_COMPLETE": "bash_complete",
        "COMP_WORDS": f"{words} ",
        "COMP_CWORD": str(len(words.split())),
    }
    code = "import sys; sys.argv = ['kiwinb']; from kiwinb.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert done.stdout.splitlines() == ["file,"]
