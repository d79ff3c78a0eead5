"""The PostgreSQL store while its server restarts, answers get lost, owners die and pools stand in between: real servers,
processes, and connections that are cut."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from aether_protocol.adapters.brokers.local import LocalBroker
from aether_protocol.adapters.executors.noop import NoopExecutor
from aether_protocol.adapters.stores.postgres.store import PostgresStore, open_postgres
from aether_protocol.engine.api import RunEngine
from aether_protocol.engine.clock import SystemClock
from aether_protocol.engine.ids import RandomIds
from aether_protocol.errors import BusyError, PortError
from aether_protocol.ports.store import RunQuery
from aether_protocol.testing.contracts.store.tools import SECOND, all_well, more, new_run
from tests.postgres import PostgresServer, database_url, needs_server, user_of_servers
from tests.postgres_wire import Wire
from tests.server_process import free_port
from tests.unit.engine.plans import dag, plan, task


def opened(url: str, **options: float) -> PostgresStore:
    dsn, _, schema = url.partition("?schema=")
    return open_postgres(dsn, schema=schema or "aether", **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A server of this module's own, which it stops and starts."""
    needs_server()
    folder = Path(f"/tmp/aether-outages-{os.getpid()}")
    made = PostgresServer(folder)
    made.start()
    yield made
    made.stop(signal.SIGQUIT)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["restart", "crash"])
def test_a_run_waits_for_a_server_that_comes_back_and_loses_nothing(server: PostgresServer, how: signal.Signals) -> None:
    size = 400

    async def body() -> None:
        clock = SystemClock()
        tasks = [task(f"t{at}", after=(at - 1,) if at else ()) for at in range(size)]
        store = opened(f"{server.url}?schema=outage_{how.name.lower()}", patience_s=20.0)
        async with RunEngine(store=store, broker=LocalBroker([NoopExecutor()], clock), clock=clock, ids=RandomIds()) as engine:
            run = await engine.submit(plan(dag(*tasks)))
            ended = asyncio.ensure_future(engine.driven.join(run))
            cursor = await store.changes.newest()
            while (row := await store.runs.row(run)) is None or row.leaves_ended < size // 4:
                await store.changes.wait(cursor, 1.0)
                cursor = await store.changes.newest()
            assert not ended.done()
            await asyncio.to_thread(server.stop, how)
            await asyncio.sleep(0.3)
            await asyncio.to_thread(server.start)
            await asyncio.wait_for(ended, 60)
            row = await store.runs.row(run)
            assert row is not None
            assert (row.phase, row.message, row.leaves_ended) == ("Succeeded", "", size)
            numbers = [number for number, _ in await store.runs.lines(run, limit=100_000)]
            assert numbers == list(range(1, row.seq + 1)), "each step once"
            assert await store.upkeep.check() == []

    asyncio.run(body())


def test_a_server_that_stays_away_is_given_up_after_the_patience(server: PostgresServer) -> None:
    async def body() -> None:
        store = opened(f"{server.url}?schema=away", patience_s=0.3)
        await store.runs.create(new_run("a"))
        await asyncio.to_thread(server.stop)
        try:
            with pytest.raises(PortError, match="does not answer any more"):
                await store.runs.append([more("a", 0)])
            with pytest.raises(PortError, match="cannot be reached"):
                await opened(server.url).runs.rows(RunQuery())
        finally:
            await asyncio.to_thread(server.start)
        assert await all_well(store, more("a", 0)), "and it is there again"
        await store.close()

    asyncio.run(body())


def test_an_append_whose_answer_was_lost_is_not_written_twice(server: PostgresServer) -> None:
    async def body() -> None:
        async with Wire(server.port).open() as wire:
            store = opened(f"{wire.url}?schema=lost")
            await store.runs.create(new_run("a"))
            for at, (mark, progress) in enumerate([(b"step alone", 0), (b"with a row", None)]):
                wire.cut = mark
                assert await all_well(store, more("a", at, mark.decode(), progress=progress)), "it is ours, and there"
            assert wire.cuts >= 1
            assert [number for number, _ in await store.runs.lines("a")] == [1, 2]
            wire.cut = b"another is first"
            writing = asyncio.ensure_future(store.runs.append([more("a", 2, "another is first", progress=0)]))
            assert not await writing
            stale = await store.runs.append([more("a", 2, "not the same", progress=0)])
            assert isinstance(stale["a"], BusyError), "what another wrote there is not ours"
            assert await store.upkeep.check() == []
            await store.close()

    asyncio.run(body())


_OWNER = """
import asyncio, sys
from tests.contracts.test_postgres_outages import opened
from aether_protocol.testing.contracts.store.tools import new_run

async def body():
    store = opened(sys.argv[1])
    await store.runs.create(new_run(sys.argv[2]))
    await store.leases.claim(sys.argv[2] + "-owner", 60_000_000, run_ids=[sys.argv[2]])
    print("claimed", flush=True)
    await asyncio.sleep(60)

asyncio.run(body())
"""


def test_the_runs_of_a_process_that_was_killed_are_free_at_once() -> None:
    url = database_url()

    async def body() -> None:
        store = opened(url)
        await store.runs.create(new_run("mine", owner="me", ttl=60 * SECOND))
        await until_locks_count(store)
        for number in range(3):
            run = f"r{number}"
            command = [sys.executable, "-c", _OWNER, url, run]
            process = subprocess.Popen(command, stdout=subprocess.PIPE)  # noqa: ASYNC220 - nothing else runs here
            assert process.stdout is not None
            assert process.stdout.readline() == b"claimed\n"
            assert await store.leases.claim("me", 60 * SECOND, scope="all") == [("mine", 1)], "the other lives"
            process.kill()
            process.wait()
            process.stdout.close()
            killed = time.monotonic()
            while not (taken := await store.leases.claim("me", 60 * SECOND, run_ids=[run])):
                assert time.monotonic() - killed < 40, "it is free at once, and not only after its lease of a minute"
                await asyncio.sleep(0.1)
            await store.runs.append([more(run, 0, token=taken[0][1], closed=True)])
        await store.close()

    asyncio.run(body())


async def until_locks_count(store: PostgresStore) -> None:
    """Wait until the server has run for so long that a lock which is missing says something."""
    since = "SELECT greatest(0, 5.1 - extract(epoch FROM clock_timestamp() - pg_postmaster_start_time()))::float8"
    found = await store.connections.insist(lambda link, _: link.run(since))
    await asyncio.sleep(found.rows[0][0])


def test_an_owner_whose_session_was_cut_keeps_its_runs() -> None:
    url = database_url()

    async def body() -> None:
        store, other = opened(url), opened(url)
        await store.runs.create(new_run("a"))
        await until_locks_count(store)
        [(_, token)] = await store.leases.claim("me", 60 * SECOND, run_ids=["a"])
        cut = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid()"
        for _ in range(3):
            await other.connections.insist(lambda link, _: link.run(cut))
            end = time.monotonic() + 0.8
            while time.monotonic() < end:
                assert await other.leases.claim("you", 60 * SECOND) == []
                await asyncio.sleep(0.1)
        assert await all_well(store, more("a", 0, token=token))
        await store.close()
        await other.close()

    asyncio.run(body())


@pytest.mark.parametrize("mode", ["transaction", "session"])
def test_a_pool_that_keeps_no_session_is_refused_with_advice(server: PostgresServer, tmp_path: Path, mode: str) -> None:
    program = shutil.which("pgbouncer") or shutil.which("/usr/sbin/pgbouncer")
    if program is None:
        pytest.skip("there is no pgbouncer (Debian: pgbouncer)")
    folder = server.folder / f"pool-{mode}"
    folder.mkdir()
    port = free_port()
    (folder / "users").write_text('"aether" ""\n')
    (folder / "pool.ini").write_text(
        f"[databases]\npostgres = host=127.0.0.1 port={server.port}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n"
        f"auth_type = trust\nauth_file = {folder / 'users'}\npool_mode = {mode}\nunix_socket_dir =\n"
    )
    for path in (folder, *folder.iterdir()):
        shutil.chown(path, *user_of_servers()) if os.getuid() == 0 else None
    pool = subprocess.Popen([program, "-q", str(folder / "pool.ini")], stderr=subprocess.DEVNULL, **PostgresServer.as_user())

    async def body() -> str:
        store = opened(f"postgres://aether@127.0.0.1:{port}/postgres?schema=pooled_{mode}")
        for _ in range(100):
            try:
                await store.runs.rows(RunQuery())
            except PortError as error:
                if "cannot be reached" not in str(error):
                    return f"{error} {error.hint}"
                await asyncio.sleep(0.05)
            else:
                await store.close()
                return "served"
        return "the pool did not start"

    try:
        said = asyncio.run(body())
        if mode == "session":
            assert said == "served"
        else:
            assert "keeps no session" in said
            assert "the URL of the server itself" in said
    finally:
        pool.terminate()
        pool.wait()
