"""The reference of the runtime checks, from the checks themselves.

``python -m kiwinb.cli.documents`` writes ``docs/checks.md`` from it.
"""

from __future__ import annotations

from kiwinb.checks import CHECKS, NOT_NEEDED


def markdown() -> str:
    """The text of ``docs/checks.md``."""
    lines = [
        "# Runtime checks",
        "",
        "<!-- Written by python -m kiwinb.cli.documents; change the checks instead. -->",
        "",
        "They run before anything is built, and all that they find is told at once, with file,",
        "line, element, remedy and the name of the check; the exit status is 4. In Python,",
        "`Appliance.check()` runs them. Most have the names that KIWI NG has for them. One that is",
        "wrong about your image is left out with a line in the settings file:",
        "",
        "```toml",
        'disabled-checks = ["swap_name_used_with_lvm"]',
        "```",
        "",
        "| Check | Why |",
        "|---|---|",
    ]
    for name, run in CHECKS.items():
        why = (run.__doc__ or "").strip().partition("\n")[0]
        lines.append(f"| `{name}` | {why.replace('``', '`')} |")
    lines += ["", "Not needed:", ""]
    lines += [f"- `{name}`: {why}." for name, why in NOT_NEEDED.items()]
    return "\n".join([*lines, ""])
