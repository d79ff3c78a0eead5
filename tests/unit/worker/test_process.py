"""What a worker says before it begins."""

from __future__ import annotations

import importlib.util

import pytest

from aether_protocol.errors import UsageError
from aether_protocol.ports.secrets import CREDENTIALS
from aether_protocol.worker import Worker
from aether_protocol.worker.processes import environment_of_children


@pytest.mark.parametrize("url", ["http://127.0.0.1:7234", "http://localhost:1", "http://[::1]:7234", "https://aether.example.com"])
def test_secrets_go_over_tls_or_inside_of_one_machine(url: str) -> None:
    assert Worker(url).urls == [url]


@pytest.mark.parametrize("url", ["http://10.0.0.1:7234", "http://aether.example.com", "http://localhost.example.com", "http://0.0.0.0:1"])
def test_an_address_that_would_carry_secrets_in_clear_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="in clear") as refused:
        Worker(url)
    assert "https://" in str(refused.value.hint)


@pytest.mark.parametrize("url", ["127.0.0.1:7234", "ftp://127.0.0.1", "", "http://"])
def test_what_is_not_an_address_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="not the address of a server"):
        Worker(url)


def test_an_executor_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(UsageError, match="'scrypt' is not installed") as refused:
        Worker("http://127.0.0.1:1", executors=["scrypt"])
    assert "script" in str(refused.value.hint)


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    there = importlib.util.find_spec
    monkeypatch.setattr("aether_protocol.worker.process.find_spec", lambda name: None if name == "httpx2" else there(name))
    with pytest.raises(UsageError, match="needs httpx2") as refused:
        Worker("http://127.0.0.1:1")
    assert refused.value.hint == "pip install 'aether-protocol[server]'"


def test_children_get_nothing_by_which_their_process_shows_who_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*CREDENTIALS, "AETHER_SECRET_X_Y"):
        monkeypatch.setenv(name, "SECRET")
    monkeypatch.setenv("AETHER_STORE", "postgres://me:SECRET@db/aether")
    monkeypatch.setenv("AETHER_BROKER", "nats://SECRET@127.0.0.1")
    monkeypatch.setenv("PGPASSWORD", "SECRET")
    monkeypatch.setenv("PLAIN", "kept")
    kept = environment_of_children("PGPASSWORD")
    assert "SECRET" not in "".join(kept.values())
    assert kept["PLAIN"] == "kept"
    monkeypatch.setenv("AETHER_STORE", "sqlite:runs.db")
    assert environment_of_children()["AETHER_STORE"] == "sqlite:runs.db"
    assert environment_of_children()["PGPASSWORD"] == "SECRET", "a worker elsewhere may have a use for it"
