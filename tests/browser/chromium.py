"""A browser for tests, a real one: `chromium` of Debian, driven by Playwright, without a screen, with the loopback alone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
QUIET = (  # what a browser does of itself, and asks the network for
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
PATIENCE_MS = 30_000


def program() -> str | None:
    """Where the browser is."""
    return next((found for found in map(shutil.which, PROGRAMS) if found is not None), None)


def described() -> str:
    """What tests use, in words."""
    return program() or "none (Debian's `chromium` brings one)"


def needs_browser() -> None:
    """Leave the test out where there is no browser; in CI it fails."""
    if program() is None:
        if os.environ.get("CI"):
            pytest.fail(f"Chromium: {described()}")
        pytest.skip(f"Chromium: {described()}")


class Shown:
    """A page of a browser, and what went wrong in it."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.faults: list[str] = []
        self.requests: list[str] = []
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("console", lambda said: said.type == "error" and self.faults.append(said.text))
        page.on("request", lambda request: self.requests.append(request.url))
        page.set_default_timeout(PATIENCE_MS)

    def go(self, url: str) -> None:
        self.page.goto(url)

    def text(self, selector: str = "body") -> str:
        found: str = self.page.inner_text(selector)
        return found

    def sees(self, text: str, selector: str = "body") -> None:
        """Wait until a text is there."""
        self.page.locator(selector, has_text=text).first.wait_for()

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)


@contextmanager
def browser_page(width: int = 1280, height: int = 800, scheme: str = "light") -> Iterator[Shown]:
    """A page of a new browser."""
    needs_browser()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=program(), args=list(QUIET))
        try:
            context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme, locale="en-GB")  # type: ignore[arg-type]
            yield Shown(context.new_page())
        finally:
            browser.close()
