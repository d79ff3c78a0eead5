"""Stored documents in a real browser, over a real server: edited, checked while they are typed, compared, saved, deleted."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tests.browser.chromium import Shown, browser_page
from tests.browser.test_workflows import apply, named
from tests.documents import script
from tests.e2e.process import aether
from tests.e2e.servers import Served, served

TEXT = """\
apiVersion: aether/v1
kind: Workflow
metadata: { name: words }
spec:
  entrypoint: main
  templates:
    - task: { name: main, executor: { type: script, config: { source: echo one } } }
"""


def stored(server: Served, text: str = TEXT) -> None:
    server.call("POST", "/documents", {"documents": [{"name": "words.yaml", "text": text}]})


def editor(shown: Shown) -> Any:
    return shown.page.get_by_label("the document", exact=True)


def test_a_document_is_edited_checked_compared_and_saved(tmp_path: Path) -> None:
    with served(tmp_path) as server, browser_page() as shown:
        stored(server)
        shown.go(f"{server.url}/documents")
        shown.page.get_by_role("link", name="words").click()
        shown.page.wait_for_url("**/documents/default/words?kind=Workflow")
        shown.sees("valid", "#checked")
        editor(shown).fill(TEXT.replace("type: script", "type: scrip"))
        shown.sees("1 error", "#checked")
        shown.sees("did you mean", ".findings")
        assert shown.page.locator(".gutter .error").inner_text() == "7"
        shown.page.get_by_role("button", name="7:", exact=False).click()
        shown.page.wait_for_function("document.activeElement.tagName === 'TEXTAREA'")
        caret = shown.page.evaluate("[document.activeElement.selectionStart, document.activeElement.value]")
        assert caret[1][caret[0] :].startswith("scrip,"), "the caret is where it is"
        shown.page.get_by_role("button", name="Save as version 2").click()
        shown.sees("scrip", "[role=alert]")
        assert server.call("GET", "/documents/default/words")["version"] == 1
        changed = TEXT.replace("echo one", "echo two")
        editor(shown).fill(changed)
        shown.sees("valid", "#checked")
        shown.page.get_by_role("tab", name="diff").click()
        shown.page.wait_for_url("**tab=diff")
        lines = shown.page.locator(".diff .added, .diff .removed").all_inner_texts()
        assert [re.sub(r"\s+", " ", line).strip() for line in lines] == [
            f"7 {sign} {word}: {line.strip()}" for sign, word, line in
            (("-", "removed", TEXT.splitlines()[6]), ("+", "added", changed.splitlines()[6]))
        ]  # fmt: skip
        shown.page.get_by_role("tab", name="edit").click()
        editor(shown).press("Control+s")
        shown.sees("words is saved as version 2")
        assert "Shown" not in shown.text("main .facts"), "what is shown is the newest"
        assert server.call("GET", "/documents/default/words")["text"] == changed
        shown.page.get_by_role("tab", name="versions").click()
        shown.page.get_by_role("link", name="Version 1").click()
        shown.page.wait_for_url("**version=1**")
        shown.sees("added: ", ".diff .added")
        shown.page.get_by_role("button", name="Save as version 3").click()
        shown.sees("words is saved as version 3")
        assert server.call("GET", "/documents/default/words")["text"] == TEXT
        assert [one for one in shown.faults if "422" not in one] == []


def test_text_that_is_not_saved_is_not_lost(tmp_path: Path) -> None:
    with served(tmp_path) as server, browser_page() as shown:
        stored(server)
        shown.go(f"{server.url}/documents")
        shown.page.get_by_role("link", name="words").click()
        changed = TEXT + "# more\n"
        editor(shown).fill(changed)
        shown.sees("not saved", ".facts")
        shown.page.get_by_role("link", name="Runs", exact=True).click()
        shown.sees("Leave without saving?", "dialog")
        shown.press("Enter")  # stays
        assert editor(shown).input_value() == changed
        shown.page.go_back()
        shown.sees("Leave without saving?", "dialog")
        shown.press("Escape")
        assert editor(shown).input_value() == changed
        assert shown.page.url.endswith("/documents/default/words?kind=Workflow")
        asked: list[str] = []
        shown.page.once("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
        shown.page.reload()  # the browser asks; what was typed is there again all the same
        assert asked == ["beforeunload"]
        shown.sees("not saved", ".facts")
        assert editor(shown).input_value() == changed
        shown.page.get_by_role("link", name="Runs", exact=True).click()
        shown.page.get_by_role("button", name="Leave").click()
        shown.page.wait_for_url("**/runs")
        shown.page.go_back()
        shown.sees("valid", "#checked")
        assert editor(shown).input_value() == TEXT
        assert not shown.faults


def test_what_another_saved_meanwhile_is_not_replaced_unseen(tmp_path: Path) -> None:
    with served(tmp_path) as server, browser_page() as shown:
        stored(server)
        shown.go(f"{server.url}/documents/default/words?kind=Workflow")
        editor(shown).fill(TEXT + "# mine\n")
        stored(server, TEXT + "# theirs\n")
        shown.page.get_by_role("button", name="Save as version 2").click()
        shown.sees("has a version 2, which this text was not made from", "dialog")
        shown.page.get_by_role("button", name="Leave it").click()
        assert server.call("GET", "/documents/default/words")["version"] == 2
        shown.page.get_by_role("button", name="Save as version 2").click()
        shown.page.get_by_role("button", name="Look at the difference").click()
        shown.sees("removed: # theirs", ".diff")
        shown.page.get_by_role("button", name="Save as version 3").click()
        shown.sees("words is saved as version 3")
        assert server.call("GET", "/documents/default/words")["text"].endswith("# mine\n")
        stored(server, TEXT + "# theirs once more\n")
        shown.page.get_by_role("tab", name="edit").click()
        editor(shown).fill(TEXT + "# mine once more\n")
        shown.page.get_by_role("button", name="Save as version 4").click()
        shown.page.get_by_role("button", name="Save all the same").click()
        shown.sees("words is saved as version 5")
        assert not shown.faults


def test_a_new_document_is_made_and_one_is_deleted(tmp_path: Path) -> None:
    with served(tmp_path) as server, browser_page() as shown:
        shown.go(f"{server.url}/documents")
        shown.sees("No documents are stored yet.")
        shown.press("n")
        shown.page.wait_for_url("**/documents/new")
        shown.sees("valid", "#checked")  # what it begins with
        shown.page.get_by_role("button", name="Save", exact=True).click()
        shown.page.wait_for_url("**/documents/default/my-workflow?kind=Workflow")
        shown.page.get_by_role("link", name="Start…").click()
        shown.sees("Whom to greet.")
        shown.press("g", "d")
        shown.page.get_by_role("link", name="my-workflow").wait_for()
        shown.press("j", "Enter")
        shown.page.get_by_role("button", name="Delete", exact=True).click()
        shown.page.get_by_role("button", name="Delete it", exact=True).click()
        shown.sees("No documents are stored yet.")
        assert server.call("GET", "/documents")["documents"] == []
        assert not shown.faults


def test_who_is_not_an_author_reads(tmp_path: Path) -> None:
    words = ("--name", "ada", "--role", "operator", "--all-namespaces", "--store", f"sqlite:{tmp_path}/runs.db")
    made = aether("token", "create", *words)
    assert made.returncode == 0, made.stderr
    with served(tmp_path, "--no-workers") as server, browser_page() as shown:
        file = tmp_path / "words.yaml"
        file.write_text(TEXT)
        applied = aether("apply", str(file), "--store", f"sqlite:{tmp_path}/runs.db")
        assert applied.returncode == 0, applied.stderr
        shown.go(f"{server.url}/documents/default/words?kind=Workflow")
        shown.page.get_by_label("Token").fill(made.stdout.split()[-1])
        shown.press("Enter")
        shown.sees("you need the role author")
        assert editor(shown).get_attribute("readonly") is not None
        assert shown.page.get_by_role("button", name="Save", exact=False).count() == 0
        assert shown.page.get_by_role("button", name="Delete").count() == 0


def test_a_long_document_is_typed_and_compared_without_a_wait(tmp_path: Path) -> None:
    tasks = [{"name": f"t{number}", "executor": {"type": "noop"}} for number in range(1_000)]
    document = named(script(""), "long")
    document["spec"]["templates"][0]["dag"]["tasks"] = tasks
    with served(tmp_path) as server, browser_page() as shown:
        apply(server, document)
        text = json.dumps(document, indent=1)
        stored(server, text)
        shown.go(f"{server.url}/documents/default/long?kind=Workflow")
        shown.sees("valid", "#checked")
        editor(shown).focus()
        shown.press("Control+End")
        shown.page.evaluate("window.began = performance.now(); document.execCommand('insertText', false, ' ')")
        assert shown.page.evaluate("performance.now() - began") < 1000, "a key"
        shown.page.get_by_role("tab", name="diff").click()
        shown.sees("1 line added, 0 removed")
        assert shown.page.locator(".diff > div").count() < 20
        assert not shown.faults
