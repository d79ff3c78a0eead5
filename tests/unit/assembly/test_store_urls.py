"""What a store's URL means: as other programs write SQLite files, and as ours always were."""

from __future__ import annotations

from pathlib import Path

import pytest

from aether_protocol.assembly import open_store
from aether_protocol.assembly.store_urls import read_store_url
from aether_protocol.errors import UsageError
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
