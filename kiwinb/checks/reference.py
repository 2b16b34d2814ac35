"""Generate the reference of the runtime checks from the checks.

``python -m kiwinb.cli.documents`` writes ``docs/checks.md`` from it.
"""

from __future__ import annotations

from kiwinb.checks import CHECKS, NOT_NEEDED


def markdown() -> str:
    """Return the text of ``docs/checks.md``."""
    lines = [
        "# Runtime checks",
        "",
        "<!-- Written by python -m kiwinb.cli.documents; change the checks instead. -->",
        "",
        "kiwinb runs these checks before it builds anything. It reports all problems at once,",
        "each with the file, line, element, remedy and name of the check, and exits with status 4.",
        "In Python, `Appliance.check()` runs the checks. Most of them have KIWI NG's names. If a",
        "check is wrong about your image, disable it in the settings file:",
        "",
        "```toml",
        'disabled-checks = ["swap_name_used_with_lvm"]',
        "```",
        "",
        "| Check | Reason |",
        "|---|---|",
    ]
    for name, run in CHECKS.items():
        why = (run.__doc__ or "").strip().partition("\n")[0]
        lines.append(f"| `{name}` | {why.replace('``', '`')} |")
    lines += ["", "kiwinb does not need this check of KIWI NG:", ""]
    lines += [f"- `{name}`: {why}." for name, why in NOT_NEEDED.items()]
    return "\n".join([*lines, ""])
