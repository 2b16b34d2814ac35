"""What a kernel sends to the different programs that show notebooks."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

WIDGET = "application/vnd.jupyter.widget-view+json"
STATIC = {"text/html", "text/plain"}


@pytest.fixture(scope="module", params=[{}, {"SERVER_SOFTWARE": "voila/0.5"}], ids=["", "voila"])
def client(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BlockingKernelClient]:
    directory = tmp_path_factory.mktemp("kernel")
    (directory / "tree").mkdir()
    (directory / "tree/file").write_text("text\n")
    manager = KernelManager()
    manager.start_kernel(cwd=str(directory), env={**environment(), **request.param})
    started = manager.blocking_client()
    started.start_channels()
    started.wait_for_ready(60)
    try:
        yield started
    finally:
        started.stop_channels()
        manager.shutdown_kernel(now=True)


def environment() -> dict[str, str]:
    return dict(os.environ) | {"PYTHONPATH": str(Path(__file__).parents[2])}


def output(
    client: BlockingKernelClient, attended: bool, metadata: Mapping[str, Any]
) -> dict[str, Any]:
    """Run a cell as a front end does; return the content of its output."""
    content = {
        "code": "import kiwinb\nkiwinb.browse('tree')",
        **{"silent": False, "store_history": True, "user_expressions": {}},
        **{"allow_stdin": attended, "stop_on_error": True},
    }
    message = client.session.msg("execute_request", content, metadata=dict(metadata))
    client.shell_channel.send(message)
    until = time.monotonic() + 60
    while time.monotonic() < until:
        answer = client.get_iopub_msg(timeout=60)
        if answer["parent_header"].get("msg_id") == message["header"]["msg_id"]:
            assert answer["msg_type"] != "error", answer["content"]
            if answer["msg_type"] == "execute_result":
                found: dict[str, Any] = answer["content"]
                return found
    raise AssertionError("the cell has no output")


def test_front_ends_get_a_view_with_the_static_form(client: BlockingKernelClient) -> None:
    sent = output(client, True, {"cellId": "1"})["data"]
    assert set(sent) == {WIDGET, *STATIC}
    assert sent[WIDGET]["model_id"]
    assert "<table>" in sent["text/html"] and "/file" in sent["text/plain"]


def test_jupyterlab_and_unattended_runs_get_the_static_form(
    client: BlockingKernelClient, request: pytest.FixtureRequest
) -> None:
    is_voila = "voila" in request.node.name
    lab = output(client, True, {"cellId": "1", "deletedCells": [], "recordTiming": False})
    headless = output(client, False, {})
    for sent in (lab, headless):
        assert set(sent["data"]) == ({WIDGET, *STATIC} if is_voila else STATIC)
    if not is_voila:
        assert 'class="kiwinb kiwinb-' in lab["data"]["text/html"]
        assert 'class="kiwinb ' in headless["data"]["text/html"]
