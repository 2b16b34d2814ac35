"""Which virtual machines are emulated."""

from __future__ import annotations

import pytest

from kiwinb.vm.machines import machine_for

INTEL = "processor\t: 0\nflags\t\t: fpu vmx sse2\n"
AMD = "processor\t: 0\nflags\t\t: fpu svm sse2\n"
NESTED = "processor\t: 0\nmodel name\t: vmx of no use\nflags\t\t: fpu hypervisor sse2\n"
ARM = "processor\t: 0\nFeatures\t: fp asimd\n"


@pytest.mark.parametrize(
    ("arch", "cpuinfo", "expected"),
    [
        ("x86_64", INTEL, True),
        ("x86_64", AMD, True),
        ("x86_64", NESTED, False),
        ("x86_64", "", False),
        ("aarch64", ARM, True),
    ],
)
def test_a_processor_has_to_say_that_it_runs_machines(
    arch: str, cpuinfo: str, expected: bool
) -> None:
    assert machine_for(arch).has_virtualization(cpuinfo) == expected
