from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from lab_server import chromium
from playwright.sync_api import Browser, Page, expect

expect.set_options(timeout=30_000)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture
def page(browser: Browser, pictures: Path, request: pytest.FixtureRequest) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    opened = context.new_page()
    opened.set_default_timeout(60_000)
    yield opened
    opened.screenshot(path=pictures / f"{request.node.name}-end.png")
    context.close()


@pytest.fixture
def complaints(page: Page) -> list[str]:
    """What the page writes to the console as errors, and what its scripts throw."""
    said: list[str] = []
    page.on("console", lambda line: said.append(line.text) if line.type == "error" else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    return said


@pytest.fixture(scope="session")
def pictures() -> Path:
    """Where screenshots are kept, to be looked at."""
    directory = Path(__file__).parent / "output"
    directory.mkdir(exist_ok=True)
    return directory
