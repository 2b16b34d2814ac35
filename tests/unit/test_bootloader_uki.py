"""Unified Kernel Images, as pefile reads them. Whether they boot, ``tests/boot`` tells."""

from __future__ import annotations

import random
from pathlib import Path

import pefile
import pytest

from kiwinb.bootloader.uki import Section, assemble, unify
from kiwinb.errors import ImageError

STUB = Path("/usr/lib/systemd/boot/efi/linuxx64.efi.stub")


@pytest.fixture(scope="module")
def stub() -> bytes:
    return STUB.read_bytes()


def unified(stub: bytes) -> bytes:
    return unify(
        stub,
        kernel=stub,  # a PE file, as the kernel is one
        initrd=b"i" * 5000,
        command_line="root=UUID=1 ro quiet",
        os_release="ID=debian\n",
        version="6.1.0-1",
        arch="x86_64",
    )


@pytest.mark.proves("bootloader", "systemd_boot")
def test_sections(stub: bytes) -> None:
    made = unified(stub)
    parsed = pefile.PE(data=made, fast_load=True)
    assert not parsed.get_warnings()
    end = 0
    for section in parsed.sections:
        assert section.VirtualAddress >= end
        assert section.PointerToRawData % parsed.OPTIONAL_HEADER.FileAlignment == 0
        end = section.VirtualAddress + section.Misc_VirtualSize
    assert parsed.OPTIONAL_HEADER.SizeOfImage >= end
    found = {
        section.Name.rstrip(b"\0").decode(): section.get_data()[: section.Misc_VirtualSize]
        for section in parsed.sections
    }
    assert found[".cmdline"].rstrip(b"\0") == b"root=UUID=1 ro quiet"
    assert found[".initrd"] == b"i" * 5000
    assert found[".osrel"] == b"ID=debian\n"
    assert found[".uname"].rstrip(b"\0") == b"6.1.0-1"
    assert list(found)[-1] == ".linux"
    assert found[".linux"] == stub


def test_what_the_stub_has_stays(stub: bytes) -> None:
    before = pefile.PE(data=stub, fast_load=True).sections
    after = pefile.PE(data=unified(stub), fast_load=True).sections
    for old, new in zip(before, after, strict=False):
        assert (old.__pack__(), old.get_data()) == (new.__pack__(), new.get_data())


def test_equal_input_gives_equal_bytes(stub: bytes) -> None:
    assert unified(stub) == unified(stub)


@pytest.mark.parametrize(
    "section",
    [Section(".sbat", b"there already"), Section(".toolongname", b"x"), Section(".cmdline", b"")],
)
def test_sections_that_cannot_be(stub: bytes, section: Section) -> None:
    with pytest.raises(ImageError) as caught:
        assemble(stub, [section])
    assert section.name in str(caught.value)


def test_more_sections_than_there_is_room_for(stub: bytes) -> None:
    with pytest.raises(ImageError, match="room"):
        for count in range(1, 1000):
            assemble(stub, [Section(f".s{number}", b"x") for number in range(count)])


def test_another_machine(stub: bytes) -> None:
    with pytest.raises(ImageError, match="aarch64"):
        unify(
            stub,
            kernel=stub,
            initrd=None,
            command_line="quiet",
            os_release="ID=debian\n",
            version="6.1.0-1",
            arch="aarch64",
        )


def test_damaged_stubs_are_refused_or_used(stub: bytes) -> None:
    chance = random.Random(1)
    for _ in range(300):
        data = bytearray(stub)
        if chance.random() < 0.3:
            del data[chance.randrange(len(data)) :]
        else:
            for _ in range(3):
                data[chance.randrange(0x400)] = chance.choice((0, 255, chance.randrange(256)))
        try:
            assemble(bytes(data), [Section(".cmdline", b"x")])
        except ImageError:
            continue
