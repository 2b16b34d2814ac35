"""What a ``<containerconfig>`` becomes."""

from __future__ import annotations

from pathlib import Path

import pytest

from kiwinb.description.model import (
    BuildType,
    ConfigOption,
    ContainerCommand,
    ContainerConfig,
    ContainerHistory,
    ImageDescription,
    Information,
    Preferences,
)
from kiwinb.description.sources import Sources
from kiwinb.errors import ImageError
from kiwinb.images import IMAGE_KINDS
from kiwinb.images.container.config import image_config, platform, references
from kiwinb.images.container.kind import PackContainer
from kiwinb.images.inputs import BuildInputs

_FULL = ContainerConfig(
    name="registry.example:5000/team/app",
    tag="1.0",
    additionalnames=(":latest", "other:2", "third"),
    maintainer="A <a@example>",
    user="daemon",
    workingdir="/srv",
    entrypoint=ContainerCommand(("/bin/app", "--serve")),
    subcommand=ContainerCommand(("all the things",)),
    labels=(ConfigOption("one", "1"), ConfigOption("empty")),
    expose=("80", "53/udp", "8080/tcp"),
    environment=(ConfigOption("PATH", "/bin"), ConfigOption("WITH", "a=b")),
    volumes=("/data", "/var/log"),
    stopsignal="SIGINT",
    history=ContainerHistory("what it is", "somebody", "make"),
)


@pytest.mark.proves("image kind", "docker oci", "containerconfig")
def test_everything_is_said() -> None:
    config = image_config(_FULL, arch="x86_64", author="B", epoch=86400, diff_ids=["0" * 64])
    assert config == {
        "architecture": "amd64",
        "os": "linux",
        "created": "1970-01-02T00:00:00Z",
        "author": "A <a@example>",
        "config": {
            "User": "daemon",
            "ExposedPorts": {"80/tcp": {}, "53/udp": {}, "8080/tcp": {}},
            "Env": ["PATH=/bin", "WITH=a=b"],
            "Entrypoint": ["/bin/app", "--serve"],
            "Cmd": ["all the things"],
            "Volumes": {"/data": {}, "/var/log": {}},
            "WorkingDir": "/srv",
            "Labels": {"maintainer": "A <a@example>", "one": "1", "empty": ""},
            "StopSignal": "SIGINT",
        },
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + "0" * 64]},
        "history": [
            {
                "created": "1970-01-02T00:00:00Z",
                "created_by": "make",
                "author": "somebody",
                "comment": "what it is",
            }
        ],
    }


def test_nothing_is_said() -> None:
    config = image_config(ContainerConfig(), arch="aarch64", author=None, epoch=0, diff_ids=["1"])
    assert (config["architecture"], config["variant"]) == ("arm64", "v8")
    assert config["config"] == {"Cmd": ["/bin/bash"]}
    assert "author" not in config


_BASE = {
    "config": {
        "Entrypoint": ["/base"],
        "Cmd": ["argument"],
        "Env": ["A=1", "B=2"],
        "Labels": {"a": "1"},
        "User": "base",
        "ExposedPorts": {"1/tcp": {}},
        "Healthcheck": {"Test": ["NONE"]},
    },
    "author": "base author",
    "history": [{"created_by": "base"}],
}


def test_what_is_not_said_is_as_in_the_base() -> None:
    container = ContainerConfig(
        environment=(ConfigOption("B", "3"),), labels=(ConfigOption("b", "2"),), expose=("2",)
    )
    config = image_config(
        container, arch="x86_64", author=None, epoch=0, diff_ids=["1", "2"], base=_BASE
    )
    assert config["config"] == {
        "Entrypoint": ["/base"],
        "Cmd": ["argument"],
        "Env": ["A=1", "B=3"],
        "Labels": {"a": "1", "b": "2"},
        "User": "base",
        "ExposedPorts": {"1/tcp": {}, "2/tcp": {}},
        "Healthcheck": {"Test": ["NONE"]},
    }
    assert config["author"] == "base author"
    assert [entry["created_by"] for entry in config["history"]] == ["base", "kiwinb"]


@pytest.mark.parametrize(
    ("container", "entrypoint", "command"),
    [
        (ContainerConfig(entrypoint=ContainerCommand(clear=True)), None, ["argument"]),
        (ContainerConfig(subcommand=ContainerCommand(clear=True)), ["/base"], None),
        (ContainerConfig(entrypoint=ContainerCommand(("/own",))), ["/own"], ["argument"]),
        (
            ContainerConfig(
                entrypoint=ContainerCommand(clear=True), subcommand=ContainerCommand(clear=True)
            ),
            None,
            None,
        ),
    ],
)
def test_commands_are_cleared(
    container: ContainerConfig, entrypoint: list[str] | None, command: list[str] | None
) -> None:
    config = image_config(
        container, arch="x86_64", author=None, epoch=0, diff_ids=["1", "2"], base=_BASE
    )["config"]
    assert (config.get("Entrypoint"), config.get("Cmd")) == (entrypoint, command)


def test_references() -> None:
    name = "registry.example:5000/team/app"
    assert references(_FULL) == (f"{name}:1.0", f"{name}:latest", "other:2", "third:1.0")
    assert references(ContainerConfig()) == ("kiwi-container:latest",)
    assert references(ContainerConfig(name="a", additionalnames=("host:5000/b",))) == (
        "a:latest",
        "host:5000/b:latest",
    )


@pytest.mark.parametrize(
    ("container", "problem"),
    [
        (ContainerConfig(name="Upper"), "'Upper' is not a name"),
        (ContainerConfig(tag="-x"), "'-x' is not a tag"),
        (ContainerConfig(additionalnames=("ok:b/d",)), "not a name"),
        (ContainerConfig(expose=("0",)), "'0' is not a port"),
        (ContainerConfig(expose=("65536",)), "is not a port"),
        (ContainerConfig(expose=("80/http",)), "is not a port"),
        (ContainerConfig(stopsignal="KILL"), "'KILL' is not a signal"),
    ],
)
def test_wrong_values(container: ContainerConfig, problem: str) -> None:
    with pytest.raises(ImageError, match=problem):
        IMAGE_KINDS["oci"].plan(
            _image(BuildType("oci", containerconfig=container)), BuildInputs(Sources(), 0), "tree"
        )


def test_unknown_architecture() -> None:
    with pytest.raises(ImageError, match="the architecture vax"):
        platform("vax")


def _image(build_type: BuildType) -> ImageDescription:
    return ImageDescription(
        name="test",
        directory=Path("/nowhere"),
        file=Path("/nowhere/config.xml"),
        arch="x86_64",
        type=build_type,
        preferences=Preferences(version="1.2.3"),
        information=Information(author=("A", "B")),
    )


def test_plan() -> None:
    plan = IMAGE_KINDS["docker"].plan(
        _image(BuildType("docker")), BuildInputs(Sources(), 7), "tree"
    )
    (step,) = plan.steps
    (result,) = plan.results
    assert (result.tag, result.step) == ("container", step.name)
    assert result.filename == "test.x86_64-1.2.3.docker.tar.xz"
    assert (step.base, step.needs) == ("tree", ())
    assert isinstance(step.action, PackContainer)
    assert (step.action.epoch, step.action.author) == (7, "A, B")
    assert "tmp/*" in step.action.exclude


@pytest.mark.proves("image kind", "oci", "derived_from", "ensure_empty_tmpdirs")
def test_plan_of_a_derived_container() -> None:
    build_type = BuildType("oci", derived_from="file:///base.tar", ensure_empty_tmpdirs=False)
    (step,) = IMAGE_KINDS["oci"].plan(_image(build_type), BuildInputs(Sources(), 0), "tree").steps
    assert step.needs == ("base-container",)
    assert isinstance(step.action, PackContainer)
    assert step.action.derived
    assert "tmp/*" not in step.action.exclude
