"""A store that fails in the middle, and stores of every kind: what is reported, and that nothing is lost."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
from pathlib import Path

import pytest

from tests.e2e.documents import task, workflow
from tests.e2e.process import AETHER, aether, environment, read_until
from tests.e2e.store_cli import Cli, make_cli


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    return make_cli(tmp_path, monkeypatch, capsys)


def chain(folder: Path, count: int) -> Path:
    """Tasks one after the other, each of which leaves its key in `effects`."""
    source = f"echo $AETHER_IDEMPOTENCY_KEY >> {folder}/effects"
    more = (f", dependencies: [t{number - 1}]" if number else "" for number in range(count))
    tasks = (task(f"t{n}", "script", f"{{runtime: sh, source: '{source}'}}", after) for n, after in enumerate(more))
    return workflow(folder, *tasks)


def no_room() -> None:
    """No file of this process may grow beyond 256 KiB: writing more fails, as on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (256 * 1024, 256 * 1024))


@pytest.mark.rule("RT-61")
def test_a_store_that_cannot_grow_ends_the_process_and_loses_nothing(tmp_path: Path) -> None:
    path = chain(tmp_path, 120)
    store = f"sqlite:{tmp_path}/runs.db"
    run = [*AETHER, "run", str(path), "--run-id", "r1", "--quiet", "--output", "json"]
    done = subprocess.run(run, env=environment(AETHER_STORE=store), preexec_fn=no_room, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 9, done.stderr
    assert f"error: {str(tmp_path / 'runs.db')!r} " in done.stderr
    assert "what was recorded is kept" in done.stderr
    assert "Traceback" not in done.stderr
    shown = json.loads(aether("show", "r1", "--output", "json", AETHER_STORE=store).stdout)
    assert shown["phase"] == "Running"
    assert 0 < int(shown["progress"].split("/")[0]) < 120
    again = aether("run", path, "--run-id", "r1", "--quiet", "--output", "json", AETHER_STORE=store)
    assert (again.returncode, json.loads(again.stdout)["progress"]) == (0, "120/120")
    keys = (tmp_path / "effects").read_text().split()
    assert len(set(keys)) == 120
    assert len(keys) <= 121, "one attempt may have been under way when the store failed"
    assert aether("db", "check", AETHER_STORE=store).returncode == 0


@pytest.mark.rule("RT-61")
@pytest.mark.parametrize("what", ["deleted", "replaced"])
def test_a_store_that_goes_away_is_not_written_to_as_if_it_were_there(tmp_path: Path, what: str) -> None:
    folder = tmp_path / "kept"
    store = f"sqlite:{folder}/runs.db"
    wait = f"echo waiting; until test -e {tmp_path}/open; do sleep 0.05; done"
    path = workflow(tmp_path, task("a", "script", f"{{runtime: sh, source: '{wait}'}}"))
    process = subprocess.Popen([*AETHER, "run", str(path), "--run-id", "r1"], env=environment(AETHER_STORE=store),
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    read_until(process.stderr, "| waiting")
    folder.rename(tmp_path / "elsewhere")
    if what == "replaced":
        quick = workflow(tmp_path, task("a", "noop"))
        assert aether("run", quick, "--run-id", "r2", "--quiet", AETHER_STORE=store).returncode == 0
    (tmp_path / "open").touch()
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (9, "")
    assert "was moved, deleted or replaced while it was in use" in err
    assert "Traceback" not in err
    if what == "replaced":
        listed = json.loads(aether("ls", "--output", "json", AETHER_STORE=store).stdout)
        assert [row["runId"] for row in listed["runs"]] == ["r2"]


@pytest.mark.rule("RT-44")
@pytest.mark.parametrize("command", ["resume", "retry"])
def test_an_interrupt_leaves_what_is_gone_on_with(tmp_path: Path, command: str) -> None:
    store = f"sqlite:{tmp_path}/runs.db"
    wait = f"echo waiting; until test -e {tmp_path}/open; do sleep 0.05; done"
    path = workflow(
        tmp_path, task("ask", "await"), task("b", "script", f"{{runtime: sh, source: '{wait}'}}", ", dependencies: [ask]")
    )
    assert aether("run", path, "--run-id", "r1", "--quiet", AETHER_STORE=store).returncode == 7
    if command == "retry":
        assert aether("cancel", "r1", "--quiet", AETHER_STORE=store).returncode == 0
    words = ["resume", "r1", "ask", "-p", "approved=true"] if command == "resume" else ["retry", "r1", "--resume", "ask=yes"]
    process = subprocess.Popen([*AETHER, *words], env=environment(AETHER_STORE=store), stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    read_until(process.stderr, "| waiting")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 130
    (tmp_path / "open").touch()
    left = "r1" if command == "resume" else "r1.2"
    assert aether("resume", left, "--quiet", AETHER_STORE=store).returncode == 0


@pytest.mark.rule("RT-44", "RT-60")
def test_in_memory_an_interrupt_cancels_also_a_named_run(tmp_path: Path) -> None:
    path = workflow(tmp_path, task("a", "script", "{runtime: sh, source: 'echo waiting; exec sleep 60'}"))
    process = subprocess.Popen(
        [*AETHER, "run", str(path), "--run-id", "r1", "--output", "json"], env=environment(AETHER_STORE="memory"), cwd=tmp_path,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )
    assert process.stderr is not None
    read_until(process.stderr, "| waiting")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, json.loads(out)["phase"]) == (130, "Cancelled")
    assert "aether resume" not in err
    assert not (tmp_path / ".aether").exists()


@pytest.mark.rule("RT-50", "RT-51", "RT-60")
def test_a_store_is_what_its_url_says(cli: Cli, tmp_path: Path) -> None:
    path = workflow(tmp_path, task("a", "noop"))
    stores = {
        "sqlite:one.db": (2, "state-action-log"),
        "sqlite:two.db?durability=normal": (1, "state-action-log"),
        "sqlite:three.db?tier=snapshot&durability=normal": (1, "snapshot"),
    }
    for url, (_, tier) in stores.items():
        assert cli("run", path, "--quiet", "--run-id", "r1", "--store", url).code == 0
        assert cli("ls", "--output", "json", "--store", url).json["runs"][0]["tier"] == tier
        bare = url.partition("?")[0]
        assert cli("ls", "--output", "json", "--store", bare).json["runs"][0]["tier"] == tier, "a run keeps its tier"
    assert cli("run", path, "--quiet", "--durability", "normal").code == 0
    assert cli("run", path, "--quiet", "--durability", "half").code == 2
    assert "durability:  normal" in cli("db", "info", "--store", "sqlite:two.db?durability=normal").out


@pytest.mark.rule("RT-60")
@pytest.mark.parametrize(
    ("url", "code", "told"),
    [
        ("sqllite:x.db", 2, "did you mean 'sqlite'?"),
        ("runs.db", 2, "did you mean 'sqlite:runs.db'?"),
        ("sqlite:", 2, "has no path"),
        ("sqlite:x.db?tire=snapshot", 2, "did you mean 'tier'?"),
        ("sqlite:x.db?tier=diary", 2, "unknown tier 'diary'"),
        ("sqlite:x.db?durability=half", 2, "unknown durability 'half'"),
        ("memory:x", 2, "takes neither path nor options"),
        ("oracle://host/db", 2, "unknown store"),
        ("postgres://no-such-host.invalid/db", 9, "cannot be reached"),
        ("", 2, "unknown store ''"),
        ("sqlite:/proc/nothing/x.db", 9, "cannot make the directory"),
    ],
)
def test_a_url_that_names_no_store_is_told(cli: Cli, tmp_path: Path, url: str, code: int, told: str) -> None:
    said = cli("run", workflow(tmp_path, task("a", "noop")), "--store", url)
    assert said.code == code, said.err
    assert told in said.err
    assert [item.name for item in tmp_path.iterdir()] == ["flow.yaml"]
