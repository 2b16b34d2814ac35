"""The shipped recipe, from its notebook to a booted system, for both releases of Debian."""

import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest

from kiwinb.vm.qemu import boot

REPOSITORY = Path(__file__).parents[2]

pytestmark = [pytest.mark.build, pytest.mark.boot]


RELEASES = {"trixie": "13", "bookworm": "12"}


@pytest.fixture(scope="module", params=RELEASES)
def release(request: pytest.FixtureRequest) -> str:
    """The release that the image has; the first is the default of the recipe."""
    return str(request.param)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory, release: str) -> Path:
    """The disk image that ``kiwinb run`` makes of the recipe."""
    out = tmp_path_factory.mktemp("debian-server")
    chosen = [] if release == next(iter(RELEASES)) else ["-p", "release", release]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "kiwinb", "run"),
            REPOSITORY / "notebooks/debian-server.ipynb",
            *("-p", "target_dir", out / "image", "-o", out / "executed.ipynb"),
            *chosen,
        ],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return Path(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("firmware", ["bios", "uefi"])
@pytest.mark.proves("image kind", "oem")
@pytest.mark.proves("bootloader", "grub2")
@pytest.mark.proves("distribution", "debian")
@pytest.mark.proves("package manager", "apt")
def test_it_boots_to_a_login_and_nothing_failed(
    image: Path, release: str, firmware: Literal["bios", "uefi"], tmp_path: Path
) -> None:
    with boot(image, firmware=firmware, log=tmp_path / "console.log") as console:
        console.login("root", "kiwinb")
        state = console.run("systemctl is-system-running --wait", timeout=300)
        failed = console.run("systemctl --failed --no-legend --plain")
        assert (state.output, failed.output) == ("running", "")
        assert console.run(". /etc/os-release; echo $VERSION_ID").output == RELEASES[release]
        assert "designed in a notebook" in console.run("cat /etc/motd").output
        assert console.run("test -d /sys/firmware/efi").status == (0 if firmware == "uefi" else 1)
        key = console.run("cut -d' ' -f2 /etc/ssh/ssh_host_ed25519_key.pub")  # made at this boot
        answer = console.run("ssh-keyscan -t ed25519 127.0.0.1 2>/dev/null")
        assert (key.status, answer.output.split()[-1]) == (0, key.output)
