"""What a store's URL means: as other programs write SQLite files, and as ours always were."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from aether_protocol.adapters.stores.postgres.link import Target
from aether_protocol.assembly import open_store
from aether_protocol.assembly.store_urls import read_store_url, without_password
from aether_protocol.errors import PortError, UsageError
from aether_protocol.ports.store import RunQuery


@pytest.mark.parametrize(
    ("url", "kind", "path", "options"),
    [
        ("sqlite:x.db", "sqlite", "x.db", {}),
        ("sqlite:/x.db", "sqlite", "/x.db", {}),
        ("sqlite:a/x.db?tier=snapshot", "sqlite", "a/x.db", {"tier": "snapshot"}),
        ("sqlite:///x.db", "sqlite", "x.db", {}),
        ("sqlite:///a/x.db?tier=snapshot&a=1", "sqlite", "a/x.db", {"tier": "snapshot", "a": "1"}),
        ("sqlite:///./x.db", "sqlite", "./x.db", {}),
        ("sqlite:///../x.db", "sqlite", "../x.db", {}),
        ("sqlite:////x.db", "sqlite", "/x.db", {}),
        ("sqlite:////var/lib/x.db", "sqlite", "/var/lib/x.db", {}),
        ("sqlite://////var/x.db", "sqlite", "/var/x.db", {}),
        ("sqlite:", "sqlite", "", {}),
        ("sqlite:///", "sqlite", "", {}),
        ("memory", "memory", "", {}),
        ("postgres://host/db?a=1", "postgres", "//host/db", {"a": "1"}),
    ],
)
def test_a_url_is_taken_apart(url: str, kind: str, path: str, options: dict[str, str]) -> None:
    read = read_store_url(url)
    assert (read.kind, read.path, read.named_options()) == (kind, path, options)


@pytest.mark.parametrize("url", ["sqlite:x.db", "sqlite:/x.db?tier=snapshot", "memory", "sqlite:///x.db", "sqlite://////x.db"])
def test_the_shortest_form_means_the_same(url: str) -> None:
    assert read_store_url(str(read_store_url(url))) == read_store_url(url)


@pytest.mark.parametrize("url", ["sqlite://x.db", "sqlite://host/x.db", "sqlite://"])
def test_a_host_is_refused_with_what_was_meant(url: str) -> None:
    with pytest.raises(UsageError, match="names a host") as told:
        read_store_url(url)
    assert "sqlite:///" in (told.value.hint or "")


@pytest.mark.parametrize(
    ("url", "there"),
    [
        ("sqlite:x.db", "sqlite:/data/x.db"),
        ("sqlite:///a/x.db?tier=snapshot", "sqlite:/data/a/x.db?tier=snapshot"),
        ("sqlite:../x.db", "sqlite:/x.db"),
        ("sqlite:////x.db", "sqlite:/x.db"),
        ("memory", "memory"),
        ("postgres://host/db", "postgres://host/db"),
    ],
)
def test_a_relative_path_counts_from_a_folder(url: str, there: str) -> None:
    assert str(read_store_url(url).relative_to("/data")) == there


async def _made(url: str) -> None:
    store = open_store(url)
    await store.runs.rows(RunQuery())
    await store.close()


@pytest.mark.parametrize("form", ["sqlite:{}", "sqlite:///{}"])
@pytest.mark.parametrize("absolute", [False, True])
def test_files_lie_where_the_url_says(
    form: str, absolute: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import asyncio

    monkeypatch.chdir(tmp_path)
    file = str(tmp_path / "deep" / "x.db") if absolute else "deep/x.db"
    asyncio.run(_made(form.format(file)))
    assert (tmp_path / "deep" / "x.db").is_file()


@pytest.mark.parametrize("url", ["sqlite:", "sqlite:///"])
def test_a_store_without_a_path_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="has no path"):
        open_store(url)


PASSWORDS = ["p#sEcret", "p?sEcret", "p@sEcret", "p/sEcret", "p[sEcret", "p:sEcret", "sEcret%23x", "p%40sEcret"]


@pytest.mark.parametrize("password", PASSWORDS)
def test_no_error_of_a_postgres_url_shows_a_password(password: str) -> None:
    """Also where the URL is read wrongly, since what is special was not escaped; and no part of it is looked up as a host."""
    url = f"postgres://me:{password}@127.0.0.1:1/db?schema=x"
    with pytest.raises((UsageError, PortError)) as told:
        asyncio.run(_made(url))
    shown = f"{told.value} {told.value.hint} {without_password(url)}"
    assert "sEcret" not in shown
    assert "Name or service" not in shown


@pytest.mark.parametrize("patience", ["-1", "nan", "inf", "x"])
def test_patience_is_a_number_of_seconds(patience: str) -> None:
    with pytest.raises(UsageError, match="patience"):
        open_store(f"postgres://host/db?patience={patience}")


def test_a_place_is_shown_as_it_was_written() -> None:
    for url in ("postgres://[::1]:1/db", "postgres://a:1,b:2/db", "postgres:///db"):
        assert Target(url, "aether", synchronous=True).shown == url
    assert Target("postgres://me:pw@[::1]:1/db?sslmode=x&password=y@z", "s", synchronous=True).shown.count("pw") == 0
