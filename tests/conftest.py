"""What all tests start from."""

import signal

import pytest

pytest_plugins = [
    "apt_repository",  # fixtures with small repositories, such as "repo" and "opened"
    "attack_report",  # a table after the tests
    "fault_report",  # the fixture "count", and a table after the tests
    "needs",  # the markers "needs" and "account"
    "shell_tree",  # the fixtures "seed" and "tree"
]

# Whoever starts the tests in the background has them ignore signals that some of them send.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave soak tests out, unless ``-m`` names them."""
    if "soak" in config.option.markexpr:
        return
    left_out = [item for item in items if item.get_closest_marker("soak")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
