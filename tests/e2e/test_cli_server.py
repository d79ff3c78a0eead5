"""Commands that work on a server print and end as on its store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.e2e.process import aether
from tests.e2e.servers import Served

SIMPLE = """
apiVersion: aether/v1
kind: Workflow
metadata: { name: simple, labels: { team: data } }
spec:
  entrypoint: main
  arguments: { parameters: [{ name: rows, type: integer, value: 1 }, { name: tag, type: string, value: none }] }
  templates:
    - task:
        name: main
        executor: { type: script, config: { runtime: sh, source: "echo one; echo two >&2; exit {{workflow.parameters.rows}}" } }
"""
ASKS = """
apiVersion: aether/v1
kind: Workflow
metadata: { name: asks }
spec: { entrypoint: main, templates: [{ task: { name: main, executor: { type: await } } }] }
"""


class Place:
    """A server, and its store asked directly."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        faulty = SIMPLE.replace("type: script", "type: skript")
        for name, text in (("simple", SIMPLE), ("asks", ASKS), ("faulty", faulty)):
            (folder / f"{name}.yaml").write_text(text)
        self.server = Served(folder)
        self.store = f"sqlite:{folder}/runs.db"

    def there(self, *arguments: str, **env: str) -> CompletedProcess[str]:
        return aether(*arguments, "--server", self.server.url, cwd=self.folder, **env)

    def here(self, *arguments: str, **env: str) -> CompletedProcess[str]:
        return aether(*arguments, "--store", self.store, cwd=self.folder, **env)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    made = Place(tmp_path_factory.mktemp("served"))
    try:
        for run_id, rows in (("good", "0"), ("bad", "3")):
            told = made.there("run", "simple.yaml", "--run-id", run_id, "-p", f"rows={rows}", "-p", "tag=007", "--detach")
            assert (told.returncode, told.stdout) == (0, f"{run_id}\n"), told.stderr
            made.there("wait", run_id)
        yield made
    finally:
        made.server.process.terminate()
        made.server.process.communicate()


@pytest.mark.parametrize(
    "command",
    [
        "ls", "ls -o json", "ls --phase Failed --label team=data", "ls --limit 1", "ls --open", "ls --ended --since 1d -o json",
        "workflow list --state FAILED",
        "show good", "show bad", "show bad -o json", "status bad", "show nothing",
        "logs bad", "logs bad main --stream stderr", "logs bad -o json", "logs good --follow", "logs good nothing",
        "events good", "events bad -o text", "events good --follow", "events nothing",
        "replay good", "replay good --at 2", "replay good --at 2 --diff 4", "replay good --at 99", "replay good -o json",
        "diff good bad", "diff good bad -o json", "diff good nothing",
        "wait good", "wait bad -o json", "wait nothing",
        "cancel good", "resume good", "resume bad main", "retry good", "rm nothing",
        "show bad main --workspace",
    ],
)  # fmt: skip
def test_what_is_printed_and_the_exit_code_are_those_of_the_store(place: Place, command: str) -> None:
    theirs, ours = place.there(*command.split()), place.here(*command.split())
    assert (theirs.stdout, theirs.returncode) == (ours.stdout, ours.returncode), theirs.stderr
    mine = ours.stderr.replace(f" --store {place.store}", "")
    assert theirs.stderr == mine


def test_a_run_is_seen_to_its_end_as_one_that_is_driven_here(place: Place) -> None:
    for rows, code in ((0, 0), (4, 1)):
        theirs = place.there("run", "simple.yaml", "-p", f"rows={rows}", "-o", "json")
        ours = aether("run", "simple.yaml", "-p", f"rows={rows}", "-o", "json", "--store", "memory", cwd=place.folder)
        assert (theirs.returncode, ours.returncode) == (code, code)
        told, known = json.loads(theirs.stdout), json.loads(ours.stdout)
        assert (told.keys(), told["phase"], told["message"]) == (known.keys(), known["phase"], known["message"])
        assert "aether show" in theirs.stderr or not code
    events = place.there("run", "simple.yaml", "-p", "rows=0", "-o", "events")
    kinds = [json.loads(line)["kind"] for line in events.stdout.splitlines()]
    assert (kinds[0], kinds[-1], events.returncode) == ("RunCreated", "RunClosed", 0)
    typed = json.loads(place.there("show", "good", "-o", "json").stdout)
    assert typed["phase"] == "Succeeded"


def test_a_run_by_its_id_is_begun_once_and_retried_where_asked(place: Place) -> None:
    first = place.there("run", "simple.yaml", "--run-id", "again", "-p", "rows=2")
    second = place.there("run", "simple.yaml", "--run-id", "again", "-p", "rows=2")
    assert (first.returncode, second.returncode, first.stdout) == (1, 1, second.stdout)
    retried = place.there("run", "simple.yaml", "--run-id", "again", "--again", "failed")
    assert (retried.returncode, "retrying it as again.2" in retried.stderr) == (1, True)
    assert place.there("retry", "again").returncode == 1
    assert place.there("rm", "again", "again.2", "again.3").returncode == 0


def test_a_suspended_run_is_answered_or_cancelled(place: Place) -> None:
    left = place.there("run", "asks.yaml", "--run-id", "asks")
    assert (left.returncode, "aether resume asks main" in left.stderr) == (7, True)
    assert place.there("resume", "asks", "mian").returncode == 2
    assert place.there("resume", "asks", "main", "-p", "number=3").returncode == 0
    assert place.there("wait", "asks").returncode == 0
    assert json.loads(place.there("show", "asks", "-o", "json").stdout)["outputs"] == {"number": 3}
    detached = place.there("run", "asks.yaml", "--detach").stdout.strip()
    assert place.there("wait", detached, "--or-suspended").returncode == 7
    assert place.there("wait", detached, "--timeout", "100ms").returncode == 8
    assert place.there("cancel", detached, "--reason", "not needed").returncode == 0
    assert place.there("wait", detached).returncode == 6


def test_a_faulty_document_is_shown_in_its_lines(place: Place) -> None:
    theirs = place.there("run", "faulty.yaml")
    ours = place.here("run", "faulty.yaml")
    assert theirs.returncode == ours.returncode == 3
    assert theirs.stderr == ours.stderr


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("simple.yaml", 0), ("faulty.yaml", 3), ("faulty.yaml --strict -o json", 3), ("faulty.yaml -o github", 3),
        ("flows --strict", 0), ("flows/uses.yaml --strict", 3), ("flows/uses.yaml -L flows", 0),
        ("binary.yaml", 3), ("empty", 2),
    ],
)  # fmt: skip
def test_a_server_checks_documents_as_this_machine_does(place: Place, command: str, code: int) -> None:
    (place.folder / "flows").mkdir(exist_ok=True)
    (place.folder / "empty").mkdir(exist_ok=True)
    header = "apiVersion: aether/v1\nkind: {}\nmetadata: {{ name: {} }}\n"
    task = "spec: { templates: [{ task: { name: say, executor: { type: noop } } }] }\n"
    for name in ("words", "spare"):
        (place.folder / "flows" / f"{name}.yaml").write_text(header.format("WorkflowTemplate", name) + task)
    refers = "{ name: a, templateRef: { name: words, template: say } }"
    spec = f"spec: {{ entrypoint: main, templates: [{{ dag: {{ name: main, tasks: [{refers}] }} }}] }}\n"
    (place.folder / "flows" / "uses.yaml").write_text(header.format("Workflow", "uses") + spec)
    (place.folder / "binary.yaml").write_bytes(header.format("Workflow", "\udcff").encode("utf-8", "surrogateescape"))
    theirs, ours = place.there("validate", *command.split()), place.here("validate", *command.split())
    assert (ours.returncode, theirs.returncode) == (code, code), theirs.stderr + ours.stderr
    assert (theirs.stdout, theirs.stderr) == (ours.stdout.replace(f"the store {place.store}", "the store"), ours.stderr)


def test_what_a_server_would_refuse_to_run_is_an_error(place: Place) -> None:
    (place.folder / "other.yaml").write_text(SIMPLE.replace("type: script", "type: warehouse"))
    assert place.here("validate", "other.yaml").returncode == 0, "another machine may have it"
    assert place.there("validate", "other.yaml").returncode == 3


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("run simple.yaml --dry-run", "--dry-run"),
        ("run simple.yaml --lock x", "--lock"),
        ("run simple.yaml --concurrency 2", "--concurrency"),
        ("run asks.yaml --resume main=yes", "--resume"),
        ("cancel good --durability normal", "--durability"),
        ("run", "what is to be run"),
    ],
)
def test_what_a_server_cannot_do_is_an_error(place: Place, command: str, said: str) -> None:
    told = place.there(*command.split())
    assert (told.returncode, said in told.stderr) == (2, True), told.stderr


def test_detaching_needs_a_server(tmp_path: Path) -> None:
    (tmp_path / "simple.yaml").write_text(SIMPLE)
    told = aether("run", "simple.yaml", "--detach", "--store", "memory", cwd=tmp_path)
    assert (told.returncode, "--server" in told.stderr) == (2, True)


def test_the_environment_names_the_server(place: Place) -> None:
    told = aether("ls", cwd=place.folder, AETHER_SERVER=place.server.url)
    assert (told.returncode, told.stdout) == (0, place.there("ls").stdout)
    away = aether("ls", cwd=place.folder, AETHER_SERVER="http://127.0.0.1:9")
    assert (away.returncode, "cannot be reached" in away.stderr) == (9, True)
    assert aether("ls", "--store", place.store, cwd=place.folder, AETHER_SERVER="http://127.0.0.1:9").returncode == 0
    checked = aether("validate", "simple.yaml", cwd=place.folder, AETHER_SERVER="http://127.0.0.1:9")
    assert (checked.returncode, "cannot be reached" in checked.stderr) == (9, True), "the server's library counts"
    assert aether("validate", "simple.yaml", cwd=place.folder).returncode == 0
    assert aether("db", "info", "--store", place.store, cwd=place.folder, AETHER_SERVER="http://127.0.0.1:9").returncode == 0
