"""A run of a server as it is seen from the command line: the same progress, report and exit code as of one that is driven here,
whatever happens to the server, the connection or the person at the terminal."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest

from tests.e2e.process import Terminal, aether, environment, read_until, start
from tests.e2e.servers import Served, lines_in, served, wait_for

GATE = 'while [ ! -e "{}" ]; do sleep 0.05; done'


def document(folder: Path, name: str, *tasks: str, parameters: str = "[]", templates: str = "") -> None:
    """Write a workflow of one dag."""
    listed = "".join(f"          - {task}\n" for task in tasks)
    (folder / f"{name}.yaml").write_text(
        f"apiVersion: aether/v1\nkind: Workflow\nmetadata: {{ name: {name} }}\nspec:\n  entrypoint: main\n"
        f"  arguments: {{ parameters: {parameters} }}\n  templates:\n"
        f"    - dag:\n        name: main\n        tasks:\n{listed}{templates}"
    )


def script(name: str, source: str, more: str = "") -> str:
    return f"{{ name: {name}, executor: {{ type: script, config: {{ source: {json.dumps(source)} }} }}{more} }}"


def timeless(text: str) -> list[str]:
    """Lines without what differs from run to run."""
    text = re.sub(r"^\d\d:\d\d:\d\d +\d+\.\d+s", "TIME", text, flags=re.M)
    return re.sub(r"\d+(\.\d+)?m?s\b", "SPAN", text).splitlines()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Documents that show everything: retries, loops, hooks, logs of both streams, a failure."""
    document(
        tmp_path, "shown",
        script("one", "echo out; echo err >&2; printf rest"),
        script("again", 'test -e "{{workflow.parameters.mark}}" && exit 0; touch "{{workflow.parameters.mark}}"; exit 3',
               ', dependencies: [one], retry: { limit: 1, backoff: { duration: 1ms }, expression: "true" }'),
        "{ name: each, dependencies: [again], template: loop }",
        script("bad", "echo no >&2; exit 4", ", dependencies: [each], hooks: { onFailure: { template: note } }"),
        parameters="[{ name: mark, type: string }]",
        templates=(
            "    - loop: { name: loop, items: [1, 2], concurrency: 1, body: work }\n"
            "    - task: { name: work, executor: { type: noop } }\n"
            "    - task: { name: note, executor: { type: script, config: { source: echo noted } } }\n"
        ),
    )  # fmt: skip
    return tmp_path


@pytest.mark.parametrize("store", ["memory", "sqlite:runs.db"])
def test_what_is_seen_is_what_a_run_shows_that_is_driven_here(folder: Path, store: str) -> None:
    with served(folder, "--store", store, db="") as server:
        theirs = aether("run", "shown.yaml", "-p", f"mark={folder}/a", "--server", server.url, cwd=folder)
        ours = aether("run", "shown.yaml", "-p", f"mark={folder}/b", "--store", "memory", cwd=folder)
        assert (theirs.returncode, ours.returncode) == (1, 1)
        assert timeless(theirs.stdout) == timeless(ours.stdout)
        first, *shown = timeless(theirs.stderr)
        assert re.fullmatch(r"run [\w-]+ of http://[\w.:]+ \(Ctrl-C leaves it to the server\)", first)
        hints = [line for line in shown if "hint: " in line]
        assert len(hints) == 2
        assert all(f"--server {server.url}" in line for line in hints)
        progress = [line for line in shown if line not in hints]
        known = [line for line in timeless(ours.stderr) if "hint: " not in line]
        assert sorted(progress) == sorted(known), "tasks and streams that run side by side may change places"
        assert [line for line in progress if "main.again" in line] == [line for line in known if "main.again" in line]
        assert progress.index(" " * 20 + "main.one | out") < progress.index("TIME  main.one  Succeeded in SPAN")
        assert aether("logs", "latest", "one", "--server", server.url, cwd=folder).stdout.splitlines()[0] == "out"
        quiet = aether("run", "shown.yaml", "-p", f"mark={folder}/c", "--no-progress", "--server", server.url, cwd=folder)
        assert "main.one" not in quiet.stderr


def test_numbers_of_a_file_of_parameters_keep_their_spelling(tmp_path: Path) -> None:
    kinds = {"text": "string", "word": "string", "free": "any", "number": "number", "whole": "integer"}
    usual = {"string": "x", "any": "x", "number": "0", "integer": "0"}
    listed = (f"{{ name: {name}, type: {kind}, value: {usual[kind]} }}" for name, kind in kinds.items())
    parameters = f"[{', '.join(listed)}]"
    document(tmp_path, "spelt", "{ name: a, executor: { type: noop } }", parameters=parameters)
    with served(tmp_path, "--store", "memory", db="") as server:
        for given in (
            "text: 1.10\nword: 1e3\nfree: 1.10\nnumber: 1e3\nwhole: 0x10",
            "text: True\nword: 007\nfree: 9007199254740993\nnumber: 1.0\nwhole: 9223372036854775807",
            '{"text": "1.10", "free": 1e3}',
            "text: 0b1\nfree: [1.10, 1e3, {a: 1.0}]",
        ):
            (tmp_path / "given.yaml").write_text(given)
            more = ("run", "spelt.yaml", "--params-file", "given.yaml", "-p", "number=2.50", "-o", "events")
            theirs = aether(*more, "--server", server.url, cwd=tmp_path)
            ours = aether(*more, "--store", "memory", cwd=tmp_path)
            assert theirs.returncode == ours.returncode == 0, theirs.stderr + ours.stderr
            one, other = (json.loads(text.stdout.splitlines()[0])["parameters"] for text in (theirs, ours))
            assert (json.dumps(one), one) == (json.dumps(other), other)


@contextmanager
def driven(folder: Path, *, at_server: bool) -> Iterator[list[str]]:
    """A run called `gated` that another process drives, until there is a file `go`; what names its store."""
    waits = script("a", GATE.format(folder / "go"))
    document(folder, "gated", waits, script("b", "exit 3", ", dependencies: [a]"))
    (folder / "go").touch()
    with served(folder) if at_server else nullcontext() as server:
        where = ["--server", server.url] if server is not None else ["--store", f"sqlite:{folder}/runs.db"]
        assert aether("run", "gated.yaml", "--run-id", "earlier", *where, cwd=folder).returncode == 1
        (folder / "go").unlink()
        driver = start("run", "gated.yaml", "--run-id", "gated", *where, cwd=folder)
        read_until(driver.stderr, "main.a  started")
        yield where
        (folder / "go").touch()
        driver.communicate(timeout=60)
        assert driver.returncode == 1


@pytest.mark.parametrize("at_server", [False, True], ids=["store", "server"])
def test_a_run_of_another_process_is_watched_to_its_end(tmp_path: Path, at_server: bool) -> None:
    with driven(tmp_path, at_server=at_server) as where:
        live = Terminal("watch", "gated", *where, cwd=tmp_path, COLUMNS="80", NO_COLOR="1")
        live.wait_for("· b")
        every = Terminal("watch", *where, cwd=tmp_path, COLUMNS="80", NO_COLOR="1")
        every.wait_for("main.a")
        assert "gated" in every.shown
        assert "0/2" in every.shown
        every.press("\x03")
        assert every.end() == 0
        plain = start("watch", "gated", *where, cwd=tmp_path)
        read_until(plain.stderr, "continuing run gated: 0 of 2 tasks done so far")
        left = start("watch", "gated", *where, cwd=tmp_path)
        read_until(left.stderr, "continuing run gated")
        left.send_signal(signal.SIGINT)
        left.communicate(timeout=60)
        assert left.returncode == 130
        (tmp_path / "go").touch()
        out, err = plain.communicate(timeout=60)
        assert plain.returncode == 1
        assert "main.b  Failed" in err
        assert "✗ Failed  gated" in out
        assert "1/2 tasks succeeded" in out
        assert live.end() == 1
        assert "✗ Failed  gated" in live.shown
    ended = aether("watch", "gated", "-o", "json", *where, cwd=tmp_path) if not at_server else None
    assert ended is None or json.loads(ended.stdout)["phase"] == "Failed"
    refused = aether("watch", "--store", f"sqlite:{tmp_path}/runs.db", cwd=tmp_path)
    assert (refused.returncode, "draws on a terminal" in refused.stderr) == (2, True)


def test_ctrl_c_leaves_the_run_to_the_server(tmp_path: Path) -> None:
    document(tmp_path, "gated", script("a", GATE.format(tmp_path / "go")))
    with served(tmp_path) as server:
        seen = start("run", "gated.yaml", "--run-id", "left", "--server", server.url, cwd=tmp_path)
        read_until(seen.stderr, "main.a  started")
        seen.send_signal(signal.SIGINT)
        out, err = seen.communicate(timeout=20)
        assert (seen.returncode, out) == (130, "")
        assert f"run left continues at {server.url}" in err
        assert f"aether wait left --server {server.url} waits for its end" in err
        assert f"aether cancel left --server {server.url} ends it" in err
        assert "Traceback" not in err
        again = start("run", "gated.yaml", "--run-id", "left", "--server", server.url, cwd=tmp_path)
        said = read_until(again.stderr, "continuing run left: 0 of 1 task done so far")
        assert "started" not in said, "what was seen before is not shown again"
        (tmp_path / "go").touch()
        out, err = again.communicate(timeout=20)
        assert (again.returncode, "Succeeded" in out, "main.a  Succeeded" in err) == (0, True, True)
        assert aether("run", "gated.yaml", "--run-id", "left", "--server", server.url, cwd=tmp_path).stdout == out


def test_a_second_ctrl_c_waits_for_nothing(tmp_path: Path) -> None:
    document(tmp_path, "short", "{ name: a, executor: { type: noop } }")
    with deaf() as url:
        seen = start("run", "short.yaml", "--server", url, cwd=tmp_path)
        wait_for(lambda: listening(seen))
        seen.send_signal(signal.SIGINT)
        out, err = seen.communicate(timeout=20)
        assert (seen.returncode, out) == (130, "")
        assert "the run may have begun" in err
        assert f"aether ls --server {url} shows it" in err


def test_a_server_that_is_started_anew_in_the_middle_costs_nothing(tmp_path: Path) -> None:
    work = [script(f"t{n}", f"echo line {n}; sleep 0.2", f", dependencies: [t{n - 1}]" if n else "") for n in range(8)]
    document(tmp_path, "long", *work)
    server = Served(tmp_path)
    try:
        seen = start("run", "long.yaml", "-o", "events", "--server", server.url, cwd=tmp_path)
        before = read_until(seen.stderr, "main.t2  started")
        server.process.kill()
        server.process.communicate()
        away = read_until(seen.stderr, "cannot be reached")
        assert "trying again for up to 60 s" in away
        server = Served(tmp_path, port=server.port)
        out, err = seen.communicate(timeout=60)
    finally:
        server.process.kill()
        server.process.communicate()
    assert seen.returncode == 0, err
    told = before + away + err
    assert told.count("cannot be reached") == 1
    assert told.count("the server is back") == 1
    places = [(record["seq"], record["index"]) for record in map(json.loads, out.splitlines())]
    assert places == sorted(set(places)), "nothing twice, all in order"
    assert [seq for seq, index in places if index == 0] == list(range(1, places[-1][0] + 1)), "nothing is lost"
    assert [told.count(f"main.t{number}  Succeeded") for number in range(8)] == [1] * 8
    lines = [told.count(f"| line {number}\n") for number in range(8)]
    # Which task ran when the server died is the machine's choice: the watcher learns late that the third has begun.
    assert min(lines) == 1, "nothing is lost"
    assert lines[:2] == [1, 1], "what had ended before is not repeated"
    assert sum(lines) <= 9, "only an attempt that died is repeated"


GIVES_UP_SOON = """
import sys
from aether_protocol.service.remote import RemoteClient
RemoteClient.__init__.__kwdefaults__["patience_s"] = 1.5
from aether_protocol.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_a_server_that_stays_away_is_given_up(tmp_path: Path) -> None:
    document(tmp_path, "gated", script("a", GATE.format(tmp_path / "go")))
    with served(tmp_path) as server:
        command = [sys.executable, "-c", GIVES_UP_SOON, "run", "gated.yaml", "--run-id", "lost", "--server", server.url]
        seen = subprocess.Popen(command, cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True)
        read_until(seen.stderr, "main.a  started")
        server.process.kill()
        _, err = seen.communicate(timeout=30)
    assert seen.returncode == 9
    assert re.search(r"error: the server http://\S+ cannot be reached: .*; given up after 2 s", err), err
    assert f"aether wait lost --server {server.url}" in err
    assert "Traceback" not in err


def test_a_run_that_waits_for_an_answer_is_left_suspended(tmp_path: Path) -> None:
    document(tmp_path, "asks", "{ name: a, executor: { type: await } }")
    with served(tmp_path) as server:
        for output in ("text", "json", "events"):
            left = aether("run", "asks.yaml", "--run-id", output, "-o", output, "--server", server.url, cwd=tmp_path)
            assert left.returncode == 7, left.stderr
            assert f"aether resume {output} main.a -p approved=true --server {server.url}" in left.stderr


def test_a_person_at_the_terminal_is_asked(tmp_path: Path) -> None:
    document(tmp_path, "asks", "{ name: a, executor: { type: await } }", script("b", "echo yes", ", dependencies: [a]"))
    with served(tmp_path) as server:
        terminal = Terminal("run", "asks.yaml", "--server", server.url, cwd=tmp_path)
        terminal.wait_for("main.a waits for an answer")
        terminal.wait_for("leaves it suspended")
        terminal.press("perhaps\n")
        terminal.wait_for("neither yes, no nor a JSON object")
        terminal.press("yes\n")
        assert terminal.end() == 0
        assert "Succeeded" in terminal.shown
        elsewhere = Terminal("run", "asks.yaml", "--run-id", "other", "--server", server.url, cwd=tmp_path)
        elsewhere.wait_for("leaves it suspended")
        assert aether("resume", "other", "a", "-p", "approved=true", "--server", server.url).returncode == 0
        assert elsewhere.end() == 0


def test_an_answer_that_is_lost_begins_no_second_run(tmp_path: Path) -> None:
    document(tmp_path, "short", "{ name: a, executor: { type: noop } }")
    with served(tmp_path) as server, losing_the_first_answer(server.port) as url:
        done = aether("run", "short.yaml", "--server", url, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "trying again" in done.stderr
        assert "the server is back" in done.stderr
        assert len(server.call("GET", "/runs")["runs"]) == 1


def test_nor_does_it_where_the_stored_workflow_is_changed_meanwhile(tmp_path: Path) -> None:
    """The key is the command's own: what it named is the run that was begun, whatever its content was."""
    with served(tmp_path) as server:

        def apply(what: str) -> None:
            document(tmp_path, "short", f"{{ name: {what}, executor: {{ type: noop }} }}")
            done = aether("apply", "short.yaml", "--server", server.url, cwd=tmp_path)
            assert done.returncode == 0, done.stderr

        apply("a")
        with losing_the_first_answer(server.port, lambda: apply("b")) as url:
            done = aether("run", "--name", "short", "--server", url, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        (run,) = server.call("GET", "/runs")["runs"]
        assert (run["documentVersion"], run["phase"]) == (1, "Succeeded")


def test_what_is_cancelled_elsewhere_ends_here(tmp_path: Path) -> None:
    document(tmp_path, "gated", script("a", f"echo x >> {tmp_path}/begun; " + GATE.format(tmp_path / "go")))
    with served(tmp_path) as server:
        seen = start("run", "gated.yaml", "--run-id", "ended", "--server", server.url, cwd=tmp_path)
        wait_for(lambda: bool(lines_in(tmp_path / "begun")))
        assert aether("cancel", "ended", "--server", server.url).returncode == 0
        out, err = seen.communicate(timeout=20)
        assert (seen.returncode, "Cancelled" in out) == (6, True), err


@contextmanager
def deaf() -> Iterator[str]:
    """What takes connections and never answers."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        door.listen()
        yield f"http://127.0.0.1:{door.getsockname()[1]}"


def listening(process: subprocess.Popen[str]) -> bool:
    """Whether a process has a connection of its own: then it handles signals."""
    links = [link.readlink() for link in Path(f"/proc/{process.pid}/fd").iterdir() if link.is_symlink()]
    return sum(str(link).startswith("socket:") for link in links) > 2


@contextmanager
def losing_the_first_answer(port: int, meanwhile: Callable[[], None] = lambda: None) -> Iterator[str]:
    """A proxy that takes the first request to its server, and closes the connection in place of an answer."""
    door = socket.create_server(("127.0.0.1", 0))
    lost = threading.Event()

    def carry(one: socket.socket, other: socket.socket, loses: bool) -> None:
        while data := _received(one):
            if loses and not lost.is_set():
                lost.set()
                meanwhile()
                break
            try:
                other.sendall(data)
            except OSError:
                break
        for end in (one, other):
            end.close()

    def serve() -> None:
        while True:
            try:
                one, _ = door.accept()
            except OSError:
                return
            other = socket.create_connection(("127.0.0.1", port))
            for pair in ((one, other, False), (other, one, True)):
                threading.Thread(target=carry, args=pair, daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{door.getsockname()[1]}"
    finally:
        door.close()


def _received(end: socket.socket) -> bytes:
    try:
        return end.recv(65536)
    except OSError:
        return b""


