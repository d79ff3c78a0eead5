"""Every attempt has a workspace of its own (ART-4): tried with real programs, functions, stores and folders."""

from __future__ import annotations

import asyncio
import os
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from aether_protocol import Engine, ExecutionContext, FunctionExecutor, Report
from aether_protocol.execution.folders import LIVE, Area, ensure_private, left_behind
from aether_protocol.execution.workspace import find_kept, keep_within_bounds, kept_name
from aether_protocol.service import client_of

pytestmark = pytest.mark.rule("ART-4")


def document(*templates: dict[str, Any], entrypoint: str = "main", **spec: Any) -> dict[str, Any]:
    head = {"apiVersion": "aether/v1", "kind": "Workflow", "metadata": {"name": "demo"}}
    return {**head, "spec": {"entrypoint": entrypoint, "templates": list(templates), **spec}}


def script(name: str, source: str, **more: Any) -> dict[str, Any]:
    config = {"runtime": "sh", "source": source, **more.pop("config", {})}
    return {"task": {"name": name, "executor": {"type": "script", "config": config}, **more}}


def dag(*tasks: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"dag": {"name": "main", "tasks": list(tasks), **more}}


def loop(body: str, items: list[Any], concurrency: int = 0, **more: Any) -> dict[str, Any]:
    given = {"parameters": [{"name": "x", "value": "{{iterator.item}}"}]}
    return {"loop": {"name": "main", "body": body, "items": items, "concurrency": concurrency, "arguments": given, **more}}


X = {"parameters": [{"name": "x", "type": "string"}]}
OUT = {"parameters": [{"name": "out", "valueFrom": {"path": "out.txt"}}]}
STDOUT = {"parameters": [{"name": "stdout"}]}
COLLECTED = {"strategy": "list", "parameters": ["out"]}
RACE = 'echo "$AETHER_INPUT_X" > out.txt; sleep 0.1'


@pytest.fixture
def store(tmp_path: Path) -> str:
    return f"sqlite:{tmp_path}/.aether/aether.db"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / ".aether" / "workspaces"


def play(store: str, *documents: Any, **options: Any) -> list[Report]:
    """Run these side by side in one engine."""

    async def go() -> list[Report]:
        async with Engine(store=store, **options) as engine:
            ids = [await engine.submit(one) for one in documents]
            return [await client_of(engine).runs.wait(one, or_suspended=True) for one in ids]

    return asyncio.run(go())


def folders(root: Path) -> list[str]:
    """All that lies below the root but for the place of live processes."""
    found = sorted(str(one.relative_to(root)) for one in root.rglob("*")) if root.exists() else []
    return [one for one in found if one != LIVE]


class TestNobodySeesAnothersFiles:
    @pytest.mark.parametrize("concurrency", [0, 1, 2])
    def test_iterations_that_write_one_name(self, store: str, root: Path, concurrency: int) -> None:
        each = loop("write", ["a", "b", "c"], concurrency, aggregate=COLLECTED)
        doc = document(each, script("write", RACE, inputs=X, outputs=OUT))
        (report,) = play(store, doc)
        assert report.outputs == {"out": ["a", "b", "c"]}
        assert folders(root) == []

    def test_runs_in_one_folder(self, store: str) -> None:
        docs = [document(script("main", f"echo {n} > out.txt; sleep 0.1; cat out.txt", outputs=OUT)) for n in range(6)]
        assert [report.outputs for report in play(store, *docs)] == [{"out": str(n)} for n in range(6)]

    def test_artifacts(self, tmp_path: Path, store: str) -> None:
        """Two that write one name side by side, and two that want theirs at one path."""
        made = {"artifacts": [{"name": "file", "path": "out.txt"}]}
        wants = {"artifacts": [{"name": "file", "path": "out.txt"}]}
        tasks = []
        for name in ("a", "b"):
            given = {"artifacts": [{"name": "file", "from": f"tasks.make-{name}.outputs.artifacts.file"}]}
            x = {"parameters": [{"name": "x", "value": name}]}
            tasks += [
                {"name": f"make-{name}", "template": "make", "arguments": x},
                {"name": f"use-{name}", "template": "use", "arguments": given, "dependencies": [f"make-{name}"]},
            ]
        doc = document(
            dag(*tasks, outputs={"parameters": [
                {"name": n, "valueFrom": {"parameter": f"tasks.use-{n}.outputs.parameters.result"}} for n in ("a", "b")
            ]}),
            script("make", RACE, inputs=X, outputs=made),
            script("use", "sleep 0.1; cat out.txt", inputs=wants, outputs={"parameters": [{"name": "result"}]}),
        )
        os.chdir(tmp_path)
        (report,) = play(store, doc)
        assert report.outputs == {"a": "a", "b": "b"}

    def test_functions(self, store: str) -> None:
        seen = []

        def write(x: str, context: ExecutionContext) -> str:
            (context.workspace / "out.txt").write_text(x)
            time.sleep(0.05)
            seen.append(context.workspace)
            return (context.workspace / "out.txt").read_text()

        body = {"task": {
            "name": "write", "inputs": X, "executor": {"type": "function", "config": {"name": "write"}},
            "outputs": {"parameters": [{"name": "result"}]},
        }}
        doc = document(loop("write", ["a", "b"], aggregate={"strategy": "list"}), body)
        (report,) = play(store, doc, executors=[FunctionExecutor({"write": write})])
        assert report.outputs == {"result": ["a", "b"]}
        assert len(set(seen)) == 2
        assert not any(one.exists() for one in seen)

    def test_an_attempt_finds_nothing_of_the_one_before(self, store: str) -> None:
        source = 'ls; touch left; test "$AETHER_ATTEMPT" -ge 3'
        retry = {"limit": 3, "expression": "phase == 'Failed'", "backoff": {"duration": "0s"}}
        (report,) = play(store, document(script("main", source, retry=retry, outputs={"parameters": [{"name": "stdout"}]})))
        assert (report.phase, report.outputs) == ("Succeeded", {"stdout": ""})

    def test_hooks(self, store: str) -> None:
        body = script("tell", "ls > all.txt; cat all.txt; echo x > left", outputs={"parameters": [{"name": "stdout"}]})
        doc = document(dag({"name": "work", "template": "work"}), script("work", "touch mine"), body, hooks={
            "onStart": {"template": "tell"}, "onExit": {"template": "tell"},
        })
        (report,) = play(store, doc)
        assert [hook.outputs["stdout"] for hook in report.hooks] == ["all.txt", "all.txt"]


class TestPlaces:
    def test_the_variables(self, tmp_path: Path, store: str, root: Path) -> None:
        file = tmp_path / "docs" / "flow.yaml"
        file.parent.mkdir()
        shared = 'echo "$AETHER_INPUT_X" > "$AETHER_RUN_DIR/$AETHER_INPUT_X"; sleep 0.2; ls "$AETHER_RUN_DIR" | wc -l'
        source = 'test "$AETHER_WORKSPACE" = "$PWD" && echo "$AETHER_DOCUMENT_DIR" && ' + shared
        file.write_text(_text(document(
            loop("write", ["a", "b"], aggregate={"strategy": "list"}),
            script("write", source, inputs=X, outputs={"parameters": [{"name": "stdout"}]}),
        )))
        (report,) = play(store, file)
        assert report.outputs == {"stdout": [f"{file.parent}\n2"] * 2}
        assert folders(root) == []

    def test_without_a_file_there_is_no_documents_folder(self, store: str) -> None:
        source = 'echo "${AETHER_DOCUMENT_DIR-none}"'
        doc = document(script("main", source, outputs={"parameters": [{"name": "stdout"}]}))
        assert play(store, doc)[0].outputs == {"stdout": "none"}
        refused = play(store, document(script("main", "true", config={"workingDir": "document"})))[0]
        assert refused.phase == "Error"
        assert "did not come from a file" in refused.message or "did not come from a file" in refused.tasks[0].message

    def test_working_dir(self, tmp_path: Path, store: str) -> None:
        (tmp_path / "sub").mkdir()
        for given, wanted in (("document", str(tmp_path)), (str(tmp_path / "sub"), str(tmp_path / "sub"))):
            file = tmp_path / "flow.yaml"
            file.write_text(_text(document(script("main", "pwd", config={"workingDir": given}, outputs=STDOUT))))
            assert play(store, file)[0].outputs == {"stdout": wanted}

    def test_programs_beside_the_document(self, tmp_path: Path, store: str, monkeypatch: pytest.MonkeyPatch) -> None:
        for place in ("bin/greet", "tool"):
            program = tmp_path / place
            program.parent.mkdir(exist_ok=True)
            program.write_text("#!/bin/sh\necho hello from $0\n")
            program.chmod(0o755)
        file = tmp_path / "flow.yaml"
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        monkeypatch.chdir(elsewhere)
        process = {"task": {"name": "main", "executor": {"type": "process", "config": {"command": ["greet"]}},
                            "outputs": {"parameters": [{"name": "stdout"}]}}}
        file.write_text(_text(document(process)))
        assert play(store, file)[0].outputs == {"stdout": f"hello from {tmp_path}/bin/greet"}
        process["task"]["executor"]["config"]["command"] = ["./tool"]
        file.write_text(_text(document(process)))
        report = play(store, file)[0]
        assert report.phase == "Error"
        assert "lies beside the document: set workingDir: document, or put it into bin/" in report.message

    def test_the_runs_for_good(self, tmp_path: Path, store: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """A resume and a retry from another working directory, without the document."""
        file = tmp_path / "flow.yaml"
        awaits = {"name": "ask", "executor": {"type": "await"}}
        tells = {"name": "tell", "dependencies": ["ask"], "template": "tell"}
        once = 'cd "$AETHER_DOCUMENT_DIR"; pwd; test -e again || { touch again; false; }'
        given = [{"name": "out", "valueFrom": {"parameter": "tasks.tell.outputs.parameters.stdout"}}]
        file.write_text(_text(document(
            dag(awaits, tells, outputs={"parameters": given}), script("tell", once, outputs=STDOUT), timeout="1d",
        )))
        monkeypatch.chdir(tmp_path)
        (left,) = play(store, Path("flow.yaml"))
        assert left.phase == "Suspended"
        (tmp_path / "far").mkdir()
        monkeypatch.chdir(tmp_path / "far")
        file.rename(tmp_path / "moved.yaml")

        async def go_on() -> list[Report]:
            async with Engine(store=store) as engine:
                await engine.recover([left.run_id])
                await client_of(engine).control.resume(left.run_id, "main.ask", {})
                ends = [await client_of(engine).runs.wait(left.run_id)]
                return [*ends, await client_of(engine).runs.wait(await client_of(engine).control.retry(left.run_id))]

        failed, succeeded = asyncio.run(go_on())
        assert (failed.phase, succeeded.phase) == ("Failed", "Succeeded")
        assert failed.outputs == succeeded.outputs == {"out": str(tmp_path)}


def _text(doc: dict[str, Any]) -> str:
    import json

    return json.dumps(doc)


class TestWhatStays:
    def test_of_what_failed_it_is_kept_and_of_others_not(self, store: str, root: Path) -> None:
        doc = document(
            dag(*({"name": name, "template": name} for name in ("good", "bad", "late", "empty"))),
            script("good", "echo x > f"),
            script("bad", "echo seen > f; mkdir d; exit 1"),
            script("late", "echo slow > f; sleep 9", timeout="300ms"),
            script("empty", "exit 1"),
        )
        (report,) = play(store, doc)
        run = report.run_id
        assert folders(root) == sorted(
            [run, *(f"{run}/{one}" for one in ("main.bad@1", "main.bad@1/d", "main.bad@1/f", "main.late@1", "main.late@1/f"))]
        )
        kept = find_kept(root, run, "main.bad", 1)
        assert kept is not None
        assert (kept / "f").read_text() == "seen\n"
        assert stat.S_IMODE(kept.stat().st_mode) == 0o700
        assert find_kept(root, run, "main.good", 1) is None

    def test_attempts_that_were_retried(self, store: str, root: Path) -> None:
        retry = {"limit": 2, "expression": "phase == 'Failed'", "backoff": {"duration": "0s"}}
        (report,) = play(store, document(script("main", "echo $AETHER_ATTEMPT > f; exit 1", retry=retry)))
        found = [find_kept(root, report.run_id, "main", attempts) for attempts in (1, 2, 3, 4)]
        assert [(one / "f").read_text() for one in found if one is not None] == ["1\n", "2\n", "3\n", "3\n"]

    def test_secrets_are_not_in_it(self, tmp_path: Path, store: str, root: Path) -> None:
        """Neither the source, nor the inputs, nor the outputs file."""
        source = 'echo "s=$AETHER_INPUT_X" > "$AETHER_OUTPUTS"; touch mine; exit 1'
        doc = document(dag({"name": "t", "template": "t", "arguments": {"parameters": [
            {"name": "x", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}},
        ]}}), script("t", source, inputs={"parameters": [{"name": "x"}]}))
        play(store, doc, secrets={"db": {"password": "hunter2-hunter2"}})
        files = [one for one in tmp_path.rglob("*") if one.is_file()]
        assert [one.name for one in files if root in one.parents] == ["mine"]
        assert [str(one) for one in files if b"hunter2" in one.read_bytes()] == []

    def test_the_folder_of_the_run(self, store: str, root: Path) -> None:
        doc = 'echo x > "$AETHER_RUN_DIR/f"; exit '
        good, bad = play(store, document(script("main", doc + "0")), document(script("main", doc + "1")))
        assert folders(root) == [bad.run_id, f"{bad.run_id}/shared@end", f"{bad.run_id}/shared@end/f"]
        assert good.phase == "Succeeded"

    def test_a_run_that_is_left_finds_its_folder_again(self, store: str, root: Path) -> None:
        doc = document(
            dag({"name": "put", "template": "put"}, {"name": "ask", "executor": {"type": "await"}, "dependencies": ["put"]},
                {"name": "get", "template": "get", "dependencies": ["ask"]}),
            script("put", 'echo 42 > "$AETHER_RUN_DIR/f"'), script("get", 'cat "$AETHER_RUN_DIR/f"'), timeout="1d",
        )
        (left,) = play(store, doc)
        assert folders(root) == [left.run_id, f"{left.run_id}/shared", f"{left.run_id}/shared/f"]

        async def go_on() -> Report:
            async with Engine(store=store) as engine:
                await engine.recover([left.run_id])
                await client_of(engine).control.resume(left.run_id, "main.ask", {})
                return await client_of(engine).runs.wait(left.run_id)

        assert asyncio.run(go_on()).phase == "Succeeded"
        assert folders(root) == []

    def test_without_a_store_nothing_is_kept(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        (report,) = play("memory", document(script("main", 'echo x > f; echo "$PWD" > "$AETHER_RUN_DIR/f"; exit 1')))
        assert report.phase == "Failed"
        assert folders(tmp_path / f"aether-{os.getuid()}") == []

    def test_closed_folders_go_too(self, store: str, root: Path) -> None:
        (report,) = play(store, document(script("main", "mkdir -p a/b; touch a/b/c; chmod 0 a/b; chmod 500 a")))
        assert report.phase == "Succeeded"
        assert folders(root) == []


class TestBounds:
    def keep(self, root: Path, run: str, name: str, size: int, at: int) -> Path:
        folder = root / run / name
        folder.mkdir(parents=True)
        (folder / "f").write_bytes(b"x" * size)
        os.utime(folder, (at, at))
        return folder

    def test_the_oldest_go_first(self, tmp_path: Path) -> None:
        kept = [self.keep(tmp_path, f"run-{n % 2}", f"t{n}@1", 10, n) for n in range(6)]
        keep_within_bounds(tmp_path, folders=4, size=1000)
        assert [one.exists() for one in kept] == [False, False, True, True, True, True]
        keep_within_bounds(tmp_path, folders=4, size=25)
        assert [one.exists() for one in kept] == [False] * 4 + [True] * 2
        keep_within_bounds(tmp_path, folders=4, size=5)
        assert list(tmp_path.iterdir()) == []

    def test_folders_of_runs_that_go_on_and_live_ones_are_no_part_of_it(self, tmp_path: Path) -> None:
        going = self.keep(tmp_path, "run", "shared", 10, 0)
        live = self.keep(tmp_path, LIVE, "1-abc", 10, 0)
        keep_within_bounds(tmp_path, folders=0, size=0)
        assert going.exists()
        assert live.exists()

    def test_names_fit_any_path(self) -> None:
        names = [kept_name(path, 1) for path in ("main.a[3].b", "x" * 5000, "x" * 4999 + "y", "main.a")]
        assert names[0] == "main.a[3].b@1"
        assert len(set(names)) == 4
        assert max(map(len, names)) < 200


class TestTheDead:
    def killed(self, root: Path, mark: str) -> subprocess.Popen[str]:
        """A process with an area below `root`, without a word of what to clean up."""
        code = (
            "import sys, time; from pathlib import Path; from aether_protocol.execution.folders import Area\n"
            f"area = Area(Path({str(root)!r})); (area.folder / {mark!r}).mkdir()\n"
            "print(area.folder, flush=True); time.sleep(60)"
        )
        return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)

    def test_only_what_they_left_goes(self, tmp_path: Path) -> None:
        dead, alive = self.killed(tmp_path, "a"), self.killed(tmp_path, "b")
        try:
            assert dead.stdout is not None
            assert alive.stdout is not None
            gone, stays = Path(dead.stdout.readline().strip()), Path(alive.stdout.readline().strip())
            dead.kill()
            dead.wait()
            assert gone.exists()
            for removal in left_behind(tmp_path):
                removal()
            assert not gone.exists()
            assert (stays / "b").exists()
            assert sorted(one.name for one in (tmp_path / LIVE).iterdir()) == [stays.name, f"{stays.name}.lock"]
        finally:
            alive.kill()
            alive.communicate()
            dead.communicate()

    def test_the_next_engine_on_the_store_does_it(self, store: str, root: Path) -> None:
        dead = self.killed(root, "a")
        assert dead.stdout is not None
        gone = Path(dead.stdout.readline().strip())
        dead.kill()
        dead.communicate()
        play(store, document({"task": {"name": "main", "executor": {"type": "noop"}}}))
        assert not gone.exists()
        assert list((root / LIVE).iterdir()) == []

    def test_the_guard_does_it_at_once(self, tmp_path: Path, root: Path) -> None:
        code = (
            "from aether_protocol import run\nimport sys\n"
            f"run({document(script('main', 'chmod 0 .; touch a b; sleep 60'))!r}, store='sqlite:{tmp_path}/.aether/aether.db')"
        )
        engine = subprocess.Popen([sys.executable, "-c", code])
        try:
            until = time.monotonic() + 20
            while not list(root.glob(f"{LIVE}/*/main.*")) and time.monotonic() < until:
                time.sleep(0.02)
            assert list(root.glob(f"{LIVE}/*/main.*"))
        finally:
            engine.kill()
            engine.wait()
        while list((root / LIVE).iterdir()) and time.monotonic() < until:
            time.sleep(0.02)
        assert list((root / LIVE).iterdir()) == []

    def test_a_folder_that_is_there_stays_as_it_is_and_what_is_made_in_it_is_private(self, tmp_path: Path) -> None:
        """It may be the root of a disk, or a folder that others work in."""
        made = tmp_path / "root"
        made.mkdir(mode=0o755)
        ensure_private(made)
        area = Area(made)
        assert stat.S_IMODE(made.stat().st_mode) == 0o755
        assert stat.S_IMODE((made / LIVE).stat().st_mode) == 0o700
        area.close()
        assert not made.exists(), "nothing was left in it"


class TestStrays:
    def warnings(self, store: str, source: str, **more: Any) -> list[str]:
        (report,) = play(store, document(script("main", source, **more)))
        assert report.phase == "Succeeded", report.message
        return [one.get("message", "") if isinstance(one, dict) else str(one) for one in report.to_json()["warnings"]]

    def test_files_that_nothing_keeps_are_told(self, store: str) -> None:
        (told,) = self.warnings(store, "mkdir d; touch d/z c b a e")
        assert "'a', 'b', 'c' and 2 more" in told
        assert "declare an artifact, write to an absolute path, or set workingDir: document" in told

    def test_what_is_kept_or_a_cache_is_not(self, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        declared = {**OUT, "artifacts": [{"name": "d", "path": "./d"}]}
        source = "mkdir d __pycache__ .cache; touch d/x __pycache__/m.pyc .cache/y .z; echo 1 > out.txt"
        assert self.warnings(store, source, outputs=declared) == []

    def test_nor_what_was_laid_down(self, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "data.csv").write_text("1\n")
        source = {"type": "local", "config": {"path": str(tmp_path / "data.csv")}}
        given = {"artifacts": [{"name": "data", "path": "in/data.csv", "source": source}]}
        assert self.warnings(store, "cat in/data.csv", inputs=given) == []

    def test_a_failed_task_is_told_nothing(self, store: str) -> None:
        (report,) = play(store, document(script("main", "touch a; exit 1")))
        assert report.to_json()["warnings"] == []

    def test_very_many_are_counted_up_to_a_limit(self, store: str) -> None:
        (told,) = self.warnings(store, "seq 1 1500 | xargs touch")
        assert "and at least 997 more" in told
