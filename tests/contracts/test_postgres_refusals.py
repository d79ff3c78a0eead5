"""What a PostgreSQL server refuses or cannot do is an error for people, or is waited through; against a real server."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from aether_protocol.assembly import open_store
from aether_protocol.errors import PortError, UsageError
from aether_protocol.ports.store import RunQuery
from aether_protocol.testing.contracts.store.tools import all_well, more, new_run
from tests.postgres import FAST, PostgresServer, needs_server


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server of this module's own, with few connections, and a socket."""
    needs_server()
    folder = Path(f"/tmp/aether-refusals-{os.getpid()}")
    made = PostgresServer(folder, (*FAST, "max_connections=14", f"unix_socket_directories={folder}"))
    made.start()
    yield made
    made.stop(signal.SIGQUIT)
    shutil.rmtree(folder, ignore_errors=True)


async def use(url: str, *, writes: bool = True) -> int:
    """Use the store of a URL as a command does; how many runs there are."""
    store = open_store(url, reads_only=not writes)
    try:
        if writes:
            await store.runs.create(new_run(os.urandom(4).hex()))
        return len(await store.runs.rows(RunQuery()))
    finally:
        await store.close()


async def said(server: PostgresServer, *texts: str) -> None:
    """Say something as the operator of the server."""
    connection = await asyncpg.connect(server.url)
    for text in texts:
        await connection.execute(text)
    await connection.close()


def as_role(server: PostgresServer, role: str, *rights: str) -> str:
    """The URL for a new role with some rights."""
    asyncio.run(said(server, f"CREATE ROLE {role} LOGIN", *(right.format(role) for right in rights)))
    return server.url.replace("aether@", f"{role}@")


def test_a_socket_several_hosts_and_escaped_places_are_reached(server: PostgresServer) -> None:
    place = f"host={server.folder}&port={server.port}"
    for url in (
        f"postgres://aether@/postgres?{place}",
        f"postgres:///postgres?{place}&user=aether",
        f"postgresql://aether@{str(server.folder).replace('/', '%2F')}:{server.port}/postgres",
        f"postgres://aether@127.0.0.1:1,127.0.0.1:{server.port}/postgres?target_session_attrs=read-write",
    ):
        assert asyncio.run(use(url)) >= 1


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("?", "?sslmode=require&"), "rejected SSL upgrade"),
        (("?", "?sslmode=bogus&"), "`sslmode` parameter must be one of"),
        (("?", "?sslmode=verify-full&sslrootcert=/nope&"), "files that the URL names"),
        (("?", "?shcema=x&"), 'unrecognized configuration parameter "shcema".*options: artifacts'),
        (("/postgres", "/nothere"), "no database of this name"),
        (("aether@", "nosuch@"), "does not let this user in"),
        (("127.0.0.1:", "127.0.0.1:9"), "port must be"),
    ],
)
def test_a_url_that_leads_nowhere_says_why(server: PostgresServer, change: tuple[str, str], told: str) -> None:
    with pytest.raises((UsageError, PortError), match=re.escape("127.0.0.1")) as refused:
        asyncio.run(use(f"{server.url}?schema=a".replace(*change)))
    assert "\n" not in str(refused.value)
    assert re.search(told, f"{refused.value} {refused.value.hint}")


def test_who_may_not_make_a_schema_uses_one_that_was_given(server: PostgresServer) -> None:
    url = as_role(server, "given", "CREATE SCHEMA given AUTHORIZATION {}")
    assert asyncio.run(use(f"{url}?schema=given")) == 1
    with pytest.raises(PortError, match="refuses this user: permission denied for database") as refused:
        asyncio.run(use(f"{url}?schema=other"))
    assert "all of the schema 'other'" in str(refused.value.hint)


def test_who_may_only_read_reads(server: PostgresServer) -> None:
    assert asyncio.run(use(f"{server.url}?schema=read")) == 1
    url = as_role(server, "reader", "GRANT USAGE ON SCHEMA read TO {}", "GRANT SELECT ON ALL TABLES IN SCHEMA read TO {}")
    for writes in (False, True):
        if writes:
            with pytest.raises(PortError, match="refuses this user: permission denied for table"):
                asyncio.run(use(f"{url}?schema=read"))
        else:
            assert asyncio.run(use(f"{url}?schema=read", writes=False)) == 1


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1", "EUC_JP"])
def test_a_database_that_cannot_hold_all_texts_is_refused(server: PostgresServer, encoding: str) -> None:
    name = f"in_{encoding.lower()}"
    asyncio.run(said(server, f"CREATE DATABASE {name} ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"))
    with pytest.raises(PortError, match=f"the encoding {encoding}") as refused:
        asyncio.run(use(server.url.replace("/postgres", f"/{name}")))
    assert "--encoding UTF8" in str(refused.value.hint)


def test_a_server_without_a_free_connection_says_so_at_the_start_and_is_waited_for_later(server: PostgresServer) -> None:
    url = as_role(server, "crowd", "CREATE SCHEMA crowd AUTHORIZATION {}")

    async def body() -> None:
        store = open_store(f"{url}?schema=crowd")
        await store.runs.create(new_run("a"))
        tried = await asyncio.gather(*(asyncpg.connect(url) for _ in range(20)), return_exceptions=True)
        taken = [one for one in tried if isinstance(one, asyncpg.Connection)]
        assert len(taken) < len(tried)
        with pytest.raises(PortError, match="takes no more connections"):
            await use(f"{url}?schema=crowd")
        rows = [asyncio.create_task(store.runs.row("a")) for _ in range(8)]
        await asyncio.wait(rows, return_when=asyncio.FIRST_COMPLETED)
        for connection in taken:
            await connection.close()
        assert [row.run_id for row in await asyncio.gather(*rows) if row is not None] == ["a"] * 8
        await store.close()

    asyncio.run(body())


def test_a_server_that_only_reads_is_waited_for_and_then_named(server: PostgresServer) -> None:
    """As after a failover, where the address leads to a standby for a while."""
    url = as_role(server, "failing", "CREATE SCHEMA failing AUTHORIZATION {}")
    strict = "ALTER ROLE failing SET default_transaction_read_only = {}"
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'failing'"

    async def body() -> None:
        store = open_store(f"{url}?schema=failing&patience=6")
        await store.runs.create(new_run("a"))
        await said(server, strict.format("on"), cut)
        writing = asyncio.create_task(all_well(store, more("a", 0)))
        await asyncio.sleep(1)
        assert not writing.done()
        await said(server, strict.format("off"))
        assert await writing, "the new primary takes it, on a new connection"
        await store.close()
        await said(server, strict.format("on"))
        with pytest.raises(PortError, match="takes no writes") as refused:
            await use(f"{url}?schema=failing")
        assert "standby" in str(refused.value.hint)
        assert await use(f"{url}?schema=failing", writes=False) == 1

    asyncio.run(body())
