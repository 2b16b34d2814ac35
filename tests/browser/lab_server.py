"""Real JupyterLab, Notebook and Voila, and a real Chromium that looks at them."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import nbformat
from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = "/usr/bin/chromium"
SWITCHES = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
NOTIFICATIONS = {"fetchNews": "false", "checkForUpdates": False}


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab or Notebook.

    Attributes:
        url: Where it is.
        token: What it wants to see.
        directory: What it serves.
        page: Path of its page for notebooks.
    """

    url: str
    token: str
    directory: Path
    page: str

    def address(self, notebook: str) -> str:
        """The address that opens a notebook in a fresh workspace."""
        return f"{self.url}/{self.page}/{notebook}?token={self.token}&reset"

    def request(self, path: str, method: str = "GET") -> bytes:
        """Call the server's own interface."""
        headers = {"Authorization": f"token {self.token}"}
        call = urllib.request.Request(f"{self.url}/api/{path}", method=method, headers=headers)
        with urllib.request.urlopen(call, timeout=20) as answer:
            content: bytes = answer.read()
            return content

    def wait_for_kernel(self) -> None:
        """Wait until a kernel is idle, and a page connected to it."""
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                kernels = json.loads(self.request("kernels"))
            except urllib.error.HTTPError as error:
                if error.code != 500:  # so the server lists a kernel that has no state yet
                    raise
                kernels = []
            if any(one["execution_state"] == "idle" and one["connections"] for one in kernels):
                return
            time.sleep(0.2)
        raise AssertionError("no kernel became idle")

    def end_kernels(self) -> None:
        """Shut down all kernels, as a reboot does."""
        for kernel in json.loads(self.request("kernels")):
            self.request(f"kernels/{kernel['id']}", "DELETE")


PAGES = {"jupyterlab": "lab/tree", "notebook": "notebooks"}


@contextmanager
def jupyter_lab(
    directory: Path, environment: Mapping[str, str], program: str = "jupyterlab"
) -> Iterator[Lab]:
    """Serve a directory by JupyterLab or Notebook, with settings of their own."""
    port, token = free_port(), secrets.token_hex(16)
    options = (
        *("--no-browser", "--allow-root", f"--port={port}"),
        *(f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={directory}"),
    )
    lab = Lab(f"http://127.0.0.1:{port}", token, directory, PAGES[program])
    with _served(program, options, environment, lambda: lab.request("status")):
        yield lab


@contextmanager
def voila(directory: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """Serve the notebooks of a directory as pages; return the address before their names."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    options = (str(directory), "--no-browser", f"--port={port}")
    with _served("voila", options, environment, lambda: urllib.request.urlopen(url, timeout=20)):
        yield f"{url}/voila/render"


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


@contextmanager
def _served(
    program: str, options: Iterable[str], environment: Mapping[str, str], ask: Callable[[], object]
) -> Iterator[None]:
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        settings = home / "settings/@jupyterlab/apputils-extension"
        settings.mkdir(parents=True)
        (settings / "notification.jupyterlab-settings").write_text(json.dumps(NOTIFICATIONS))
        places = {
            "JUPYTER_CONFIG_DIR": home / "config",
            "JUPYTER_DATA_DIR": home / "data",
            "JUPYTER_RUNTIME_DIR": home / "runtime",
            "JUPYTERLAB_SETTINGS_DIR": home / "settings",
            "JUPYTERLAB_WORKSPACES_DIR": home / "workspaces",
        }
        with (home / "log").open("w") as log:
            server = subprocess.Popen(
                [sys.executable, "-m", program, *options],
                env={**os.environ, **{name: str(path) for name, path in places.items()}}
                | dict(environment),
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            _wait(ask, server, home / "log")
            yield
        finally:
            server.terminate()
            server.wait(30)


def _wait(ask: Callable[[], object], server: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        assert server.poll() is None, log.read_text()
        try:
            ask()
            return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.3)
    raise AssertionError(log.read_text())


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, with a profile of its own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(SWITCHES))
        try:
            yield browser
        finally:
            browser.close()


def write_notebook(path: Path, cells: list[str]) -> None:
    """Write a notebook of code cells."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    notebook.metadata["kernelspec"] = {
        "name": "python3",
        "display_name": "Python 3",
        "language": "python",
    }
    nbformat.write(notebook, path)


def open_notebook(page: Page, lab: Lab, name: str) -> None:
    """Open a notebook and wait until its kernel can be used."""
    page.goto(lab.address(name))
    page.wait_for_selector(".jp-Notebook .jp-Cell")
    lab.wait_for_kernel()
    page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status='idle']")
    if page.locator(".jp-FileBrowser").is_visible():
        page.keyboard.press("Control+B")
    page.wait_for_selector(".jp-FileBrowser", state="hidden")


def menu(page: Page, *names: str) -> None:
    """Choose an entry of the menu bar."""
    page.click(f".lm-MenuBar-itemLabel:text-is('{names[0]}')")
    for name in names[1:]:
        page.click(f".lm-Menu-itemLabel:text-is('{name}')")
