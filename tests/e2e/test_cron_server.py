"""`aether cron trigger` and `cron backfill` on a server."""

from __future__ import annotations

import json
from pathlib import Path

from tests.e2e.process import aether
from tests.e2e.servers import served, wait_for

CRON = """
apiVersion: aether/v1
kind: CronWorkflow
metadata: { name: nightly }
spec:
  schedule: "0 3 * * *"
  successfulJobsHistoryLimit: 9
  workflowSpec:
    entrypoint: main
    templates: [{ task: { name: main, executor: { type: script, config: { source: echo tonight } } } }]
"""
SPAN = ("--from", "2026-01-05", "--until", "2026-01-07")


def test_what_is_triggered_is_seen_to_its_end_and_the_server_runs_past_fires(tmp_path: Path) -> None:
    (tmp_path / "nightly.yaml").write_text(CRON)
    with served(tmp_path) as server:
        assert aether("cron", "apply", "nightly.yaml", "--server", server.url, cwd=tmp_path).returncode == 0
        triggered = aether("cron", "trigger", "nightly", "-o", "json", "--server", server.url, cwd=tmp_path)
        assert triggered.returncode == 0, triggered.stderr
        assert json.loads(triggered.stdout)["phase"] == "Succeeded"
        for place in ({"AETHER_SERVER": server.url}, {}):
            named = () if place else ("--server", server.url)
            dry = aether("cron", "backfill", "nightly", *SPAN, "--dry-run", *named, cwd=tmp_path, **place)
            assert dry.stdout.count("would start run nightly.2026010") == 3, dry.stderr
        done = aether("cron", "backfill", "nightly", *SPAN, "--server", server.url, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "the server runs 3 fires of 3" in done.stderr
        wait_for(lambda: [run["phase"] for run in server.call("GET", "/runs")["runs"]] == ["Succeeded"] * 4)
        again = aether("cron", "backfill", "nightly", *SPAN, "--json", "--server", server.url, cwd=tmp_path)
        assert [json.loads(line)["kind"] for line in again.stdout.splitlines()] == ["FireLeftOut"] * 3
        for option in (("--concurrency", "3"), ("--durability", "normal")):
            refused = aether("cron", "backfill", "nightly", *SPAN, *option, "--server", server.url, cwd=tmp_path)
            assert refused.returncode == 2
            assert f"{option[0]} is for a run that is driven here" in refused.stderr
        unknown = aether("cron", "trigger", "weekly", "--server", server.url, cwd=tmp_path)
        assert unknown.returncode == 2
        assert "weekly" in unknown.stderr
