"""`--log-format json` and `--metrics-file`: what programs read of commands that run workflows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.documents import script
from tests.e2e.process import aether

NASTY = "\\x00 \\x1b[31m \\xff \\u2028 \"quoted\" {not: json}"


def document(folder: Path, source: str) -> str:
    (folder / "w.json").write_text(json.dumps(script(source)))
    return str(folder / "w.json")


def lines(text: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in text.splitlines()]
    for one in found:
        assert one["time"].endswith("Z")
        assert one["level"] in ("info", "warning", "error")
        assert isinstance(one["message"], str)
    return found


def test_each_line_of_a_run_is_a_json_object_whatever_tasks_write(tmp_path: Path) -> None:
    path = document(tmp_path, f"printf '{NASTY}\\n'; exit 3")
    ended = aether("run", path, "--log-format", "json", "-o", "json", "--store", "memory", cwd=tmp_path)
    assert ended.returncode == 1
    assert json.loads(ended.stdout)["phase"] == "Failed", "standard output is as without it"
    found = lines(ended.stderr)
    (log,) = [one for one in found if one.get("kind") == "log"]
    assert log["task"] == "main.job"
    assert "quoted" in log["message"]
    assert log["run"]
    assert [one["level"] for one in found if one.get("kind") == "task" and one.get("phase") == "Failed"] == ["warning"] * 2


def test_wrong_usage_faulty_documents_and_quiet_are_json_too(tmp_path: Path) -> None:
    ended = aether("run", "nowhere.yaml", "--log-format", "json", cwd=tmp_path)
    (one,) = lines(ended.stderr)
    assert (one["level"], one["hint"]) == ("error", "check the spelling of the path")
    (tmp_path / "bad.yaml").write_text("apiVersion: aether/v1\nkind: Workflow\nmetadata: {name: a}\nspec: {entrypoint: x}\n")
    found = lines(aether("run", "bad.yaml", "--log-format", "json", cwd=tmp_path).stderr)
    assert any(one.get("kind") == "diagnostic" and one["line"] and one["code"].startswith("AE") for one in found)
    path = document(tmp_path, "echo quiet")
    assert aether("run", path, "--log-format", "json", "-q", "--store", "memory", cwd=tmp_path).stderr == ""


def test_the_journal_of_a_scheduler_is_json_too(tmp_path: Path) -> None:
    store = f"sqlite:{tmp_path}/s.db"
    aether("run", document(tmp_path, "true"), "--store", store, cwd=tmp_path)
    ended = aether("cron", "tick", "--log-format", "json", "--store", f"sqlite:{tmp_path}/s.db", cwd=tmp_path)
    lines(ended.stderr)
    assert ended.returncode == 0


def test_metrics_are_written_at_the_end_also_of_a_run_that_failed(tmp_path: Path) -> None:
    path = document(tmp_path, "exit 1")
    file = tmp_path / "aether.prom"
    ended = aether("run", path, "--metrics-file", str(file), "--store", "memory", cwd=tmp_path)
    assert ended.returncode == 1
    assert 'aether_runs_total{namespace="default",phase="Failed",workflow="one"} 1.0' in file.read_text()
    ended = aether("run", path, "--metrics-file", str(tmp_path / "no" / "x"), "--store", "memory", cwd=tmp_path)
    assert ended.returncode == 1, "the run counts"
    assert "warning: the metrics cannot be written" in ended.stderr
    aether("run", path, "--store", f"sqlite:{tmp_path}/s.db", cwd=tmp_path)
    ended = aether("cron", "tick", "--metrics-file", str(file), "--store", f"sqlite:{tmp_path}/s.db", cwd=tmp_path)
    assert ended.returncode == 0
    assert "aether_store_call_seconds_count" in file.read_text()


def test_without_prometheus_client_it_says_what_to_install(tmp_path: Path) -> None:
    path = document(tmp_path, "true")
    hide = "import sys; sys.modules['prometheus_client'] = None; from aether_protocol.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", hide, "run", path, "--metrics-file", "x.prom", "--store", "memory"]
    ended = subprocess.run(command, cwd=tmp_path, env=os.environ, capture_output=True, text=True, timeout=60, check=False)
    assert "metrics need prometheus-client, which is not installed" in ended.stderr
    assert "pip install 'aether-protocol[server]'" in ended.stderr
    assert ended.returncode != 0
