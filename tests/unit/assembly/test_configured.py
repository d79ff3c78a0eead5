"""An engine in a program: what it takes from a configuration, and that it reads none unless it is asked to."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from aether_protocol import Engine, UsageError
from aether_protocol.assembly import build_engine, load_configuration, open_store
from aether_protocol.ports.store import RunQuery
from aether_protocol.service import client_of

NOOP = {
    "apiVersion": "aether/v1",
    "kind": "Workflow",
    "metadata": {"name": "flow"},
    "spec": {"entrypoint": "a", "templates": [{"task": {"name": "a", "executor": {"type": "noop"}}}]},
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("AETHER_CONFIG", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    (tmp_path / "aether.toml").write_text(
        "[store]\nurl = 'sqlite:runs.db'\n[concurrency]\nattempts = 2\n[limits]\nnodes = 30\n[workspaces]\npath = 'w'\n"
        "[profile.small.limits]\nnodes = 3\n",
        "utf-8",
    )
    return tmp_path


async def run_on(engine: Engine) -> str:
    async with engine:
        return (await client_of(engine).runs.wait(await engine.submit(NOOP, run_id="one"))).phase


async def recorded(url: str) -> list[tuple[str | None, str] | None]:
    """Profile and digest of the runs of a store."""
    from aether_protocol.engine.recovery import load_state

    store = open_store(url)
    found: list[tuple[str | None, str] | None] = []
    for row in await store.runs.rows(RunQuery()):
        given = (await load_state(store, row.run_id)).header.configuration
        found.append(None if given is None else (given.profile, given.digest))
    await store.close()
    return found


def test_an_engine_reads_no_settings_unless_it_is_asked(folder: Path) -> None:
    (folder / "aether.toml").write_text("nonsense", "utf-8")
    assert asyncio.run(run_on(Engine())) == "Succeeded"
    assert not (folder / "runs.db").exists()


def test_what_is_left_out_comes_from_the_configuration(folder: Path) -> None:
    configuration = load_configuration()
    assert asyncio.run(run_on(Engine(configuration=configuration))) == "Succeeded"
    assert (folder / "runs.db").is_file()
    assert asyncio.run(recorded("sqlite:runs.db")) == [(None, configuration.digest)]


def test_a_path_names_a_file(folder: Path) -> None:
    assert asyncio.run(run_on(Engine(configuration=folder / "aether.toml"))) == "Succeeded"
    assert (folder / "runs.db").is_file()


def test_arguments_win(folder: Path) -> None:
    engine = Engine(configuration=load_configuration(), store="sqlite:other.db", concurrency=5)
    assert asyncio.run(run_on(engine)) == "Succeeded"
    assert not (folder / "runs.db").exists()
    assert len(asyncio.run(recorded("sqlite:other.db"))) == 1


def test_limits_hold_for_documents(folder: Path) -> None:
    from aether_protocol import DocumentError

    engine = Engine(configuration=load_configuration(profile="small"), store="memory")
    with pytest.raises(DocumentError) as told:
        engine.plan(NOOP)
    assert [one.code for one in told.value.diagnostics] == ["AE104"]


def test_build_engine_takes_a_configuration_too(folder: Path) -> None:
    async def go() -> str | None:
        engine = await build_engine(configuration=load_configuration(profile="small"))
        await engine.close()
        assert engine.recorded_configuration is not None
        return engine.recorded_configuration.profile

    assert asyncio.run(go()) == "small"


def test_a_file_that_is_not_there_is_told(folder: Path) -> None:
    with pytest.raises(UsageError, match="there is no configuration file"):
        Engine(configuration="nowhere.toml")


def test_the_store_of_a_process_is_found_by_the_same_rule(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / ".git").mkdir()
    (folder / "deep").mkdir()

    async def made(url: str | None) -> str:
        store = open_store(url)
        await store.runs.rows(RunQuery())
        file = store.file  # type: ignore[attr-defined]
        await store.close()
        return str(file)

    there = asyncio.run(made("sqlite:.aether/aether.db"))
    monkeypatch.chdir(folder / "deep")
    monkeypatch.delenv("AETHER_STORE", raising=False)
    assert asyncio.run(made(None)) == there
