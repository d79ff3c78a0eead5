"""Whose secrets a run gets (RT-138): what the engine asks providers for, and what the settings share."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from aether_protocol import Engine
from aether_protocol.adapters.secrets.mapping import MappingSecrets
from aether_protocol.assembly import load_configuration
from aether_protocol.assembly.parts import SharedSecrets
from aether_protocol.service import client_of
from aether_protocol.views.report import Report

pytestmark = pytest.mark.rule("RT-138")

SECRETS = {"db": {"password": "of-default"}, "registry": {"token": "for-all"}, "team-a/db": {"password": "of-team-a"}}


def asks(namespace: str, name: str, key: str) -> dict[str, Any]:
    """A workflow that succeeds where the secret is there, and says its length."""
    parameter = {"name": "p", "type": "string", "valueFrom": {"secretKeyRef": {"name": name, "key": key}}}
    config = {"runtime": "sh", "env": {"P": "{{inputs.parameters.p}}"}, "source": "echo length=${#P} >> $AETHER_OUTPUTS"}
    task = {
        "name": "main",
        "inputs": {"parameters": [parameter]},
        "executor": {"type": "script", "config": config},
        "outputs": {"parameters": [{"name": "length", "type": "integer"}]},
    }
    return {
        "apiVersion": "aether/v1",
        "kind": "Workflow",
        "metadata": {"name": "asks", "namespace": namespace},
        "spec": {"entrypoint": "main", "templates": [{"task": task}]},
    }


def reports(engine: Engine, *documents: dict[str, Any]) -> list[Report]:
    async def go() -> list[Report]:
        async with engine:
            client = client_of(engine)
            return [await client.runs.wait(await client.control.submit(one)) for one in documents]

    return asyncio.run(go())


class OfOne:
    """A provider that knows of no namespaces, as most are: it has every secret."""

    def get(self, name: str, key: str) -> str | None:
        return "of-default"


def test_a_provider_that_knows_no_namespaces_has_the_secrets_of_default_alone() -> None:
    first, other = reports(Engine(secrets=[OfOne()]), asks("default", "a", "b"), asks("team-a", "a", "b"))
    assert (first.phase, other.phase) == ("Succeeded", "Error")
    assert "secret 'a' of namespace 'team-a' has no key 'b'" in other.tasks[0].message


def test_the_same_name_is_another_secret_in_another_namespace() -> None:
    documents = [asks(space, "db", "password") for space in ("default", "team-a", "team")]
    found = reports(Engine(secrets=[MappingSecrets(SECRETS)]), *documents)
    assert [one.phase for one in found] == ["Succeeded", "Succeeded", "Error"]
    assert [one.tasks[0].outputs.get("length") for one in found] == [len("of-default"), len("of-team-a"), None]


def test_what_the_settings_share_is_there_for_all_and_after_their_own(tmp_path: Path) -> None:
    (tmp_path / "aether.toml").write_text("[secrets]\nshared = ['registry']\n")
    engine = Engine(secrets=[SECRETS], configuration=load_configuration(file=tmp_path / "aether.toml"))
    wanted = [("team-a", "registry", "token"), ("team-a", "db", "password"), ("team-b", "db", "password")]
    found = reports(engine, *(asks(*one) for one in wanted))
    assert [one.phase for one in found] == ["Succeeded", "Succeeded", "Error"]
    assert found[1].tasks[0].outputs["length"] == len("of-team-a")


def test_all_names_may_be_shared_and_those_of_other_namespaces_never_are() -> None:
    shared = SharedSecrets([MappingSecrets(SECRETS), OfOne()], ["*"])
    assert shared.get("db", "password", "team-b") == "of-default"
    assert shared.get("registry", "token", "team-b") == "for-all"
    assert SharedSecrets([MappingSecrets(SECRETS)], ["*"]).get("team-a/db", "password", "team-b") is None
    assert shared.get("db", "password") is None  # its providers were asked before
    assert (shared.blocking, SharedSecrets([MappingSecrets({})], []).blocking) == (True, False)
