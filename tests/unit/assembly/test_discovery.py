"""RT-123: parts of other packages are found by family and name; a broken one is an error that says whose it is."""

from __future__ import annotations

import asyncio
import json
import sys
import tomllib
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from aether_protocol import DocumentError, Engine, PortError, UsageError, load_plan, run
from aether_protocol.assembly import discovery, executors, open_store
from aether_protocol.assembly.discovery import BUILTIN, Family, group
from aether_protocol.assembly.executors import builtin_executors, executor_types
from aether_protocol.ports.store import RunQuery
from aether_protocol.service import client_of
from tests.documents import submitted
from tests.e2e.process import aether
from tests.unit.assembly.outside import lay_down

pytestmark = pytest.mark.rule("RT-123")

ROOT = Path(__file__).parents[3]
CACHES: tuple[Any, ...] = (discovery._installed, executors._installed_executor, executors._warn_once)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Another package is installed; gives the folder that is on the path."""
    folder = lay_down(tmp_path / "site")
    monkeypatch.syspath_prepend(folder)
    for cache in CACHES:
        cache.cache_clear()
    yield folder
    sys.modules.pop("outside_parts", None)
    for cache in CACHES:
        cache.cache_clear()


def step(name: str, type_: str = "noop", /, **config: Any) -> dict[str, Any]:
    return {"name": name, "executor": {"type": type_, "config": config}}


def say(value: str) -> dict[str, Any]:
    return step("say", "echo", outputs=[{"name": "x", "value": value}])


def report_of(engine: Engine, document: Any) -> Any:
    async def go() -> Any:
        async with engine:
            return await client_of(engine).runs.wait(await engine.submit(document), or_suspended=True)

    return asyncio.run(go())


def test_the_tables_of_built_in_parts_are_the_entry_points_of_the_package() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["entry-points"]
    ours = {name: entries for name, entries in declared.items() if name.startswith("aether.")}
    assert ours == {group(family): dict(table) for family, table in BUILTIN.items() if table}
    for table in BUILTIN.values():
        for place in table.values():
            module, _, attribute = place.partition(":")
            assert callable(getattr(import_module(module), attribute))
    assert [executor.type.name for executor in builtin_executors()] == list(BUILTIN["executors"])


def test_built_in_parts_are_found_without_a_look_at_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def look(*_: object, **__: object) -> None:
        raise AssertionError("the metadata of packages was read")

    monkeypatch.setattr("importlib.metadata.entry_points", look)
    discovery._installed.cache_clear()
    given = Engine(clock="wall", ids="uuid7", broker="local", secrets=["environment:X_"], artifacts="folder:/nowhere/at/all")
    report = report_of(given, submitted(say("a")))
    assert report.phase == "Succeeded"


def test_metadata_is_read_once(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.metadata

    reads: list[int] = []
    real: Callable[..., Any] = importlib.metadata.entry_points
    monkeypatch.setattr("importlib.metadata.entry_points", lambda **how: (reads.append(1), real(**how))[1])
    report = report_of(Engine(secrets=["vault:x"], variables=["weather:rome"]), submitted(step("a", "greet"), step("b", "ask")))
    assert (report.phase, reads) == ("Suspended", [1])


def test_executors(package: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert run(submitted(step("a", "greet"), step("b", "noop"))).phase == "Succeeded"
    types = executor_types()
    assert [name for name in types if name not in BUILTIN["executors"]] == ["greet", "ask", "shout"]
    assert types["ask"].site == "engine"
    assert "'gone' of outside-parts 2.5 cannot be loaded: ModuleNotFoundError: No module named 'nowhere_at_all'" in caplog.text
    assert "'alias' of outside-parts 2.5 cannot be used: its type is 'greet'" in caplog.text
    assert "'noop' of outside-parts 2.5 is left out: that is the name of a built-in one" in caplog.text


def test_a_document_that_names_a_broken_executor_is_told_where_and_what_to_do(package: Path) -> None:
    with pytest.raises(DocumentError) as told:
        load_plan(submitted(step("a", "gone")))
    (fault,) = told.value.diagnostics
    assert (fault.code, fault.path) == ("AE405", "spec.templates[0].dag.tasks[0].executor.type")
    assert "the executor 'gone' of outside-parts 2.5 cannot be loaded" in fault.message
    assert fault.hint == "pip install --upgrade outside-parts may mend it, pip uninstall outside-parts removes it"


def test_functions(package: Path) -> None:
    call = submitted(step("f", "function", name="flip", arguments={"text": "abc"}))
    own = submitted(step("f", "function", name="twice", arguments={"text": "abc"}))
    assert run(call).tasks[1].outputs == {"result": "cba"}
    engine = Engine(functions={"twice": lambda text: text + text})
    assert report_of(engine, own).tasks[1].outputs == {"result": "abcabc"}
    assert report_of(Engine(functions={"flip": lambda text: "mine"}), call).tasks[1].outputs == {"result": "mine"}
    assert report_of(Engine(functions={}), call).tasks[1].outputs == {"result": "cba"}
    lost = run(submitted(step("f", "function", name="lost")))
    assert "the function 'lost' of outside-parts 2.5 cannot be loaded" in lost.tasks[1].message
    assert "pip install --upgrade outside-parts" in lost.tasks[1].message
    from aether_protocol import FunctionExecutor

    with pytest.raises(UsageError, match="functions are given beside an executor of type 'function'"):
        Engine(functions={}, executors=FunctionExecutor({}))


def test_stores(package: Path, tmp_path: Path) -> None:
    url = f"shelf:{tmp_path / 'x.db'}"
    assert run(submitted(say("a")), store=url).phase == "Succeeded"

    async def count() -> int:
        store = open_store(f"{url}?artifacts=attic:{tmp_path / 'attic'}", reads_only=True)
        rows = await store.runs.rows(RunQuery())
        await store.close()
        return len(rows)

    assert asyncio.run(count()) == 1


def test_brokers_secrets_variables_ids_and_clocks(package: Path, tmp_path: Path) -> None:
    import time

    notes = tmp_path / "notes"
    engine = Engine(
        broker=f"hand:{notes}", secrets="vault:here", variables="weather:rome", ids="counted", clock="late", concurrency=1
    )
    document = submitted(
        step("ask", "ask"),
        step("say", "echo", outputs=[{"name": "x", "value": "{{weather.place}} {{weather.degrees}}"}]),
        {
            "name": "tell",
            "executor": {"type": "script", "config": {"source": "echo \"$AETHER_INPUT_WORD\" | wc -c"}},
            "inputs": {"parameters": [{"name": "word", "valueFrom": {"secretKeyRef": {"name": "db", "key": "pw"}}}]},
        },
    )

    async def go() -> Any:
        async with engine:
            run_id = await engine.submit(document)
            return run_id, engine.clock.now(), await client_of(engine).runs.wait(run_id, or_suspended=True)

    run_id, now, report = asyncio.run(go())
    assert (run_id, engine.owner) == ("run-counted-1", "engine-counted-1")
    assert now - time.time() * 1e6 > 3_500_000_000
    by_name = {task.path.rpartition(".")[2]: task for task in report.tasks}
    assert by_name["say"].outputs == {"x": "rome 21"}
    assert (by_name["ask"].phase, by_name["tell"].phase) == ("Suspended", "Succeeded")
    assert sorted(notes.read_text().split()) == ["say", "tell"], "the engine's own site is not the broker's affair"


def test_artifacts(package: Path, tmp_path: Path) -> None:
    document = submitted(
        {
            "name": "make",
            "executor": {"type": "script", "config": {"source": "echo x > out.txt"}},
            "outputs": {"artifacts": [{"name": "out", "path": "out.txt"}]},
        }
    )
    for given in (f"attic:{tmp_path / 'one'}", f"folder:{tmp_path / 'two'}", tmp_path / "three", str(tmp_path / "four")):
        assert report_of(Engine(artifacts=given), document).phase == "Succeeded"
    assert all(any((tmp_path / name).rglob("*")) for name in ("one", "two", "three", "four"))


BROKEN: list[tuple[Family, Callable[[], object]]] = [
    ("stores", lambda: open_store("torn:x")),
    ("brokers", lambda: Engine(broker="torn:x")),
    ("secrets", lambda: Engine(secrets="torn:x")),
    ("artifacts", lambda: Engine(artifacts="torn:x")),
    ("variables", lambda: Engine(variables=["torn"])),
    ("notifiers", lambda: Engine(notifiers={"team": "torn:x"})),
    ("clocks", lambda: Engine(clock="torn")),
    ("ids", lambda: Engine(ids="torn")),
]


@pytest.mark.parametrize(("family", "use"), BROKEN)
def test_a_broken_part_is_an_error_with_its_distribution_and_the_remedy(
    package: Path, family: Family, use: Callable[[], object]
) -> None:
    with pytest.raises(PortError) as told:
        use()
    assert "'torn' of outside-parts 2.5 cannot be loaded: ModuleNotFoundError" in told.value.message
    assert told.value.hint == "pip install --upgrade outside-parts may mend it, pip uninstall outside-parts removes it"


def test_a_part_that_is_not_one_is_told_with_what_it_lacks(package: Path) -> None:
    with pytest.raises(PortError, match=r"the broker 'half' of outside-parts 2\.5 is not one: it lacks start, room, dispatch"):
        Engine(broker="half")
    with pytest.raises(UsageError, match="is not a broker: it lacks start, room"):
        Engine(broker=object())  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="is not a clock: it lacks now, wall, call_at, sleep"):
        Engine(clock=object())  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="is not a source of variables: it lacks namespace, read"):
        Engine(variables=[object()])  # type: ignore[list-item]


def test_an_unknown_name_is_told_with_the_nearest(package: Path) -> None:
    with pytest.raises(UsageError, match="unknown broker 'hant'") as told:
        Engine(broker="hant:x")
    assert told.value.hint == "did you mean 'hand'?"
    with pytest.raises(UsageError, match="unknown clock 'sundial'") as told:
        Engine(clock="sundial")
    assert told.value.hint == "installed: system, wall, late, torn"


def test_the_command_line_and_aether_toml_choose_them(tmp_path: Path) -> None:
    """In processes of their own, as people use them."""
    site = str(lay_down(tmp_path / "site"))
    file = tmp_path / "flow.json"
    word = {"name": "word", "valueFrom": {"secretKeyRef": {"name": "db", "key": "pw"}}}
    make = {
        **step("make", "script", source="echo x > out.txt; echo n=${#AETHER_INPUT_WORD} > $AETHER_OUTPUTS"),
        "inputs": {"parameters": [word]},
        "outputs": {"artifacts": [{"name": "out", "path": "out.txt"}], "parameters": [{"name": "n", "type": "integer"}]},
    }
    shout = {**step("shout", "shout"), "inputs": {"parameters": [word]}}
    file.write_text(json.dumps(submitted(step("hello", "greet"), say("{{weather.place}}"), make, shout, name="demo")))
    (tmp_path / "aether.toml").write_text(
        f"store.url = 'shelf:{tmp_path}/shelf.db'\nbroker.url = 'hand:{tmp_path}/notes'\nvariables.sources = ['weather:oslo']\n"
        f"secrets.providers = ['vault:door']\nartifacts.path = 'attic:{tmp_path}/attic'\n"
        f"[notifiers.default]\nurl = 'board:{tmp_path}/board'\n"
    )
    environ = {"PYTHONPATH": f"{site}:{ROOT}", "AETHER_CONFIG": "", "AETHER_STORE": "", "XDG_CONFIG_HOME": str(tmp_path)}
    done = aether("run", file, "-o", "json", cwd=tmp_path, **environ)
    assert done.returncode == 0, done.stderr
    outputs = {task["path"]: task["outputs"] for task in json.loads(done.stdout)["tasks"]}
    assert (outputs["main.say"], outputs["main.make"]) == ({"x": "oslo"}, {"n": len("door-db-pw")})
    assert (tmp_path / "notes").read_text().split() == ["hello", "say", "make", "shout"]
    assert (tmp_path / "board").read_text() == "hear ***\n", "a secret is no news"
    assert any((tmp_path / "attic").rglob("*"))
    listed = aether("ls", "-o", "json", cwd=tmp_path, **environ)
    assert listed.returncode == 0, listed.stderr
    assert "demo" in listed.stdout
    assert "greet" in aether("executors", cwd=tmp_path, **environ).stdout
    assert aether("db", "check", cwd=tmp_path, **environ).returncode == 0
    faulty = aether("run", file, cwd=tmp_path, **{**environ, "AETHER_BROKER": "torn:x"})
    assert faulty.returncode == 9
    assert "Traceback" not in faulty.stderr
    assert "the broker 'torn' of outside-parts 2.5 cannot be loaded" in faulty.stderr
    assert "hint: pip install --upgrade outside-parts" in faulty.stderr
