"""Servers of two versions on one PostgreSQL: they are replaced one by one, and nothing stops meanwhile.

The newer version is this one with a further migration, made by a program of the test's own.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.documents import submitted
from tests.e2e.process import environment, read_until
from tests.e2e.servers import Served, wait_for
from tests.e2e.test_several_servers import chain, result, servers_of
from tests.postgres import database_url

pytestmark = [pytest.mark.rule("RT-148"), pytest.mark.timeout(240)]

NEWER = """
import sys
import aether_protocol
import aether_protocol.adapters.stores.sql.schema as schema

aether_protocol.__version__ = "9.0.0"
schema.MIGRATIONS = (*schema.MIGRATIONS, ("CREATE TABLE novelty (id INTEGER PRIMARY KEY, text TEXT)",))
schema.NEWEST += 1
schema.USABLE_SINCE = {since}
import aether_protocol.adapters.stores.postgres.schema as beside

beside._BESIDE = (*beside._BESIDE, ())
from aether_protocol.cli import main

sys.argv[0] = "aether"
sys.exit(main())
"""


class Newer(Served):
    """A server of the newer version. `since`: an expression, the oldest schema whose programs may use what it writes."""

    def __init__(self, folder: Path, url: str, since: str = "schema.USABLE_SINCE") -> None:
        folder.mkdir()
        program = folder / "newer.py"
        program.write_text(NEWER.format(since=since))
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, str(program), "serve", "--store", url, "--http-port", "0"],
            cwd=folder, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        self.said = read_until(self.process.stderr, "serving ")
        self.url = next(word for word in self.said.split() if word.startswith("http://")).rstrip(".,;:")
        self.port = int(self.url.rpartition(":")[2])


@contextmanager
def killed_at_the_end(*servers: Served) -> Iterator[None]:
    try:
        yield
    finally:
        for one in servers:
            one.process.kill()
            one.process.communicate()


def older(folder: Path, url: str) -> Served:
    folder.mkdir()
    return Served(folder, "--store", url, db="")


def test_servers_are_replaced_one_by_one_and_may_go_back(tmp_path: Path) -> None:
    url, effects = database_url(), tmp_path / "effects"
    first = older(tmp_path / "first", url)
    with killed_at_the_end(first):
        waiting = submitted({"name": "job", "executor": {"type": "await", "config": {}}})
        waits = first.call("POST", "/runs", {"document": waiting})["runId"]
        runs = [first.call("POST", "/runs", {"document": chain(effects, 6, 0.4)})["runId"] for _ in range(4)]
        second = Newer(tmp_path / "second", url)
        with killed_at_the_end(second):
            wait_for(lambda: len(servers_of(first.url)) == 2)
            old, new = servers_of(first.url)
            assert new["version"] == "9.0.0"
            assert new["schema"] == old["schema"] + 1
            runs.append(first.call("POST", "/runs", {"document": chain(effects, 2, 0.1)})["runId"])  # the older one goes on
            assert first.end()[0] == 0
            assert {result(second.url, run)["phase"] for run in runs} == {"Succeeded"}
            back = older(tmp_path / "back", url)
            with killed_at_the_end(back):
                wait_for(lambda: len(servers_of(second.url)) == 2)
                assert second.end(signal.SIGTERM)[0] == 0
                back.call("POST", f"/runs/{waits}/resume", {"task": "job"})
                assert result(back.url, waits)["phase"] == "Succeeded"


def test_a_version_that_could_not_read_the_store_is_refused_and_the_store_left_alone(tmp_path: Path) -> None:
    url = database_url()
    newer = Newer(tmp_path / "newer", url, "schema.NEWEST")
    with killed_at_the_end(newer):
        run = newer.call("POST", "/runs", {"document": submitted({"name": "job", "executor": {"type": "noop"}})})["runId"]
        assert result(newer.url, run)["phase"] == "Succeeded"
        with pytest.raises(AssertionError, match="was written by a newer version"):
            older(tmp_path / "older", url)
        assert result(newer.url, run)["phase"] == "Succeeded"
