"""A run that broke its engine again and again, on the command line: listed, shown, left alone, and tried once more."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aether_protocol.errors import BrokenInvariant
from aether_protocol.service import client_of
from aether_protocol.testing.harness import Cluster, run_on
from aether_protocol.testing.settling import settled
from tests.e2e.store_cli import Cli, make_cli
from tests.unit.engine.test_recovery_breaks import breaking_plan


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    monkeypatch.setenv("AETHER_STORE", "")
    made = make_cli(tmp_path, monkeypatch, capsys)
    monkeypatch.setenv("AETHER_STORE", f"sqlite:{tmp_path / 'cluster.db'}")
    return made


def set_aside(folder: Path) -> None:
    async def body(cluster: Cluster) -> None:
        engine = await cluster.start()
        run = await engine.submit(breaking_plan(), run_id="bad")
        with pytest.raises(BrokenInvariant):
            await client_of(engine).runs.wait(run)
        for _ in range(2):
            await engine.recover()
        await settled(engine)

    run_on(Cluster(folder), body)


@pytest.mark.rule("RT-84")
def test_a_run_that_was_set_aside(cli: Cli, tmp_path: Path) -> None:
    set_aside(tmp_path)
    [listed] = cli("ls", "--output", "json").json["runs"]
    assert (listed["runId"], listed["phase"], listed["closed"]) == ("bad", "Running", False)
    assert "OverflowError" in listed["broken"]
    table = cli("ls").out
    assert "! Broken" in table
    assert "set aside: OverflowError" in table
    shown = cli("show", "bad").out
    assert "set aside:   it broke its engine again and again: OverflowError" in shown
    assert "'aether resume bad' tries once more" in shown
    assert "OverflowError" in json.loads(cli("show", "bad", "--output", "json").out)["broken"]
    assert cli("cron", "tick").code == 0, "it is nobody's business"
    again = cli("resume", "bad")
    assert again.code == 70
    assert "it is tried once more" in again.err
    assert "OverflowError" in again.err
    assert "! Broken" in cli("ls").out, "it is set aside again"
    assert cli("cancel", "bad").code == 0
    assert cli("show", "bad", "--output", "json").json["phase"] == "Cancelled"
    assert "Broken" not in cli("ls").out
