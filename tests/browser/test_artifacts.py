"""The files of a run in a real browser: listed, downloaded, and said to be gone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.browser.chromium import browser_page
from tests.documents import submitted
from tests.e2e.servers import served


@pytest.mark.rule("RT-157")
def test_artifacts_are_downloaded_and_what_is_gone_says_so(tmp_path: Path) -> None:
    task = {"name": "build", "template": "build"}
    document = submitted(task)
    document["spec"]["templates"].append({"task": {
        "name": "build", "outputs": {"artifacts": [{"name": "report", "path": "out/report <b>.csv"}]},
        "executor": {"type": "script", "config": {"source": "mkdir out; echo '<script>1</script>' > 'out/report <b>.csv'"}},
    }})  # fmt: skip
    with served(tmp_path) as server, browser_page() as shown:
        run = server.call("POST", "/runs", {"document": document})["runId"]
        server.result(run)
        shown.go(f"{server.url}/runs/{run}?tab=artifacts")
        shown.sees("report <b>.csv", ".artifacts")
        with shown.page.expect_download() as coming:
            shown.page.get_by_label("download report of main.build").click()
        saved = Path(coming.value.path())
        assert saved.read_text() == "<script>1</script>\n"
        assert coming.value.suggested_filename.endswith(".csv")
        (kept,) = (folder for folder in tmp_path.iterdir() if folder.name.endswith("artifacts"))
        shutil.rmtree(kept)
        shown.page.reload()
        shown.sees("not kept any more", ".artifacts")
        assert shown.page.get_by_text("Download").count() == 0
        assert not shown.faults
