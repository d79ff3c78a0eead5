"""The documentation is executed: what the tutorial, the how-to pages and the README say works, and links lead somewhere.

Law: a page below docs/tutorial or docs/how-to is run because it is there; no list names it.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from aether_protocol.cli import main
from tests.e2e.pages import Block, Reader, agrees, blocks, commands

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
README = ROOT / "README.md"
PAGES = [README, *sorted(DOCS.glob("tutorial/*.md")), *sorted(DOCS.glob("how-to/*.md"))]
ALL = [README, *(page for folder in ("docs", "examples", "bench") for page in sorted((ROOT / folder).rglob("*.md")))]
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"^ *(```+).*?^ *\1$", re.M | re.S)


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_a_page_does_what_it_says(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("AETHER_CONFIG", "AETHER_DEBUG", "PYTHONPATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / ".home"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    if page == README:  # its reader stands in a checkout
        shutil.copytree(ROOT / "examples", tmp_path / "examples")
    Reader(tmp_path).read(page)


def test_the_documents_of_the_first_page_are_without_a_warning(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    shown = [block for block in blocks(README.read_text("utf-8")) if block.title and block.title.endswith(".yaml")]
    assert shown
    for block in shown:
        path = tmp_path / str(block.title)
        path.write_text(block.body, "utf-8")
        assert main(["validate", str(path)]) == 0
        assert capsys.readouterr().out == "0 errors, 0 warnings in 1 file\n"


def links(page: Path) -> Iterator[tuple[str, str]]:
    """(file, anchor) of each link of a page, outside of code."""
    text = re.sub(r"`[^`\n]*`", "", _CODE.sub("", page.read_text("utf-8")))
    for target in _LINK.findall(text):
        if "://" not in target:
            file, _, anchor = target.partition("#")
            yield file, anchor


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as they are made on the web."""
    headings = re.findall(r"^#+ (.+)$", _CODE.sub("", page.read_text("utf-8")), re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", ALL, ids=[str(page.relative_to(ROOT)) for page in ALL])
def test_links_lead_somewhere(page: Path) -> None:
    for file, anchor in links(page):
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), f"{page.name} links to {file!r}"
        assert target.is_relative_to(ROOT), f"{page.name} leaves the project with {file!r}"
        if anchor:
            assert anchor in anchors(target), f"{page.name} links to {file}#{anchor}"


def test_every_page_can_be_reached() -> None:
    seen: set[Path] = set()
    ahead = [README]
    while ahead:
        page = ahead.pop()
        if page in seen:
            continue
        seen.add(page)
        if page.suffix == ".md":
            ahead.extend((page.parent / file).resolve() for file, _ in links(page) if file)
    assert set(DOCS.rglob("*.md")) <= seen


def test_the_index_names_every_page() -> None:
    named = {(DOCS / file).resolve() for file, _ in links(DOCS / "README.md")}
    assert {page for page in DOCS.rglob("*.md") if page.name != "README.md"} <= named


class TestReader:
    """A page that tells something false is found out."""

    def page(self, tmp_path: Path, text: str) -> Path:
        file = tmp_path / "page.md"
        file.write_text(text, "utf-8")
        return file

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("```console\n$ echo one\ntwo\n```\n", "and not"),
            ("```console\n$ false\n```\n", "failed with 1"),
            ("```console\n$ false\n$ true\n```\n", "the command before failed"),
            ("```console\n$ false\n$ echo $?\n2\n```\n", "the exit code is 1"),
            ("```console\nwords\n```\n", "belongs to no command"),
            ("```console\n$ aether validate nothing.yaml\n```\n", "failed with 2"),
            ("```python\n1 / 0\n```\n", "ZeroDivisionError"),
            ("```yaml\na: [\n```\n", "Error"),
            ("```json\n{\n```\n", "JSONDecodeError"),
        ],
    )
    def test_a_false_page(self, text: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        with pytest.raises(AssertionError, match=re.escape(told)):
            Reader(tmp_path).read(self.page(tmp_path, text))

    def test_a_true_page(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        text = (
            '```text title="in/a.txt"\nhello\n```\n'
            "```console\n$ cat in/a.txt\nhello\n$ export X=1\n"
            "$ cd in\n$ echo $X; \\\n    pwd\n1\n.../in\n$ false\n$ echo $?\n1\n```\n"
        )
        assert Reader(tmp_path).read(self.page(tmp_path, text)) == 2

    @pytest.mark.parametrize(
        ("expected", "actual", "same"),
        [
            ("a\n...\nb", "a\nb\n", True),
            ("a\n...\nb", "a\n1\n2\nb\n", True),
            ("a ... b", "a 1 b", True),
            ("a", "a\nb", False),
            ("a\nb", "a", False),
            ("a.c", "abc", False),
        ],
    )
    def test_wildcards(self, expected: str, actual: str, same: bool) -> None:
        assert agrees(expected, actual) is same

    def test_blocks(self) -> None:
        text = 'x\n\n```yaml title="a.yaml"\na: 1\n```\n\n````md\n```yaml\n```\n````\n'
        assert list(blocks(text)) == [Block("yaml", "a.yaml", "a: 1\n", 4), Block("md", None, "```yaml\n```\n", 8)]
        (one,) = commands(Block("console", None, "$ a \\\n  b\nc\n", 1))
        assert (one.text, one.expected) == ("a b", "c")
