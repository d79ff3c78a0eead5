"""What a task says to people, drawn on its panel: the marks that people use, and nothing that could run or be loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.chromium import browser_page
from tests.documents import submitted
from tests.e2e.servers import served

TEXT = """\
# 2 of 3 tests failed

See the **report** of `login`, ~~not~~ _this_ one: [site](https://example.org/a?b=1), https://example.org/x.

| test | time |
|------|-----:|
| login \\| out | **5** |
| <b>cart</b> | 1 |

- one
  - inner
- [x] done
1. first
2. second

> quoted

```
if a < b: <script>alert(1)</script>
```

<script>window.hurt = 1</script><img src=x onerror="window.hurt = 1">
![chart](https://example.org/chart.png) [no](javascript:window.hurt=1) [data](data:text/html,x)
"""


@pytest.mark.rule("RT-158")
def test_a_summary_is_drawn_and_nothing_in_it_is_run_or_loaded(tmp_path: Path) -> None:
    (tmp_path / "summary.md").write_text(TEXT)
    source = f"cp {tmp_path}/summary.md $AETHER_SUMMARY; exit 3"
    job = {"name": "job", "executor": {"type": "script", "config": {"source": source}}}
    with served(tmp_path) as server, browser_page() as shown:
        run = server.call("POST", "/runs", {"document": submitted(job)})["runId"]
        server.result(run)
        shown.go(f"{server.url}/runs/{run}?task=main.job")
        panel = shown.page.locator(".summary .markdown")
        panel.wait_for()
        assert panel.locator("h3").inner_text() == "2 of 3 tests failed"
        assert panel.locator("td").all_inner_texts() == ["login | out", "5", "<b>cart</b>", "1"]
        assert panel.locator("a").evaluate_all("all => all.map(one => one.getAttribute('href'))") == [
            "https://example.org/a?b=1", "https://example.org/x",
        ]
        assert panel.locator("ul ul li").inner_text() == "inner"
        assert panel.locator("ol li").count() == 2
        assert panel.locator("blockquote").inner_text() == "quoted"
        assert panel.locator("pre").inner_text() == "if a < b: <script>alert(1)</script>"
        shown.sees("[image: chart]", ".markdown")
        shown.sees("<img src=x onerror=", ".markdown")
        assert panel.locator("script, img, iframe, [onerror]").count() == 0
        assert shown.page.evaluate("window.hurt") is None
        assert not [url for url in shown.requests if "example.org" in url]
        assert not shown.faults
