"""What workers declare of executors that the server does not have: it refuses what the executor would refuse, and no more."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from aether_protocol import ConfigField, ExecutorType
from aether_protocol.adapters.brokers.executor_variants import ExecutorVariants, either, type_of_offer
from aether_protocol.adapters.brokers.workers import WorkerBroker
from aether_protocol.adapters.stores.memory.store import MemoryStore
from aether_protocol.assembly.executors import InstalledExecutors
from aether_protocol.expressions.values import SecretValue
from aether_protocol.plan.config import check_config
from aether_protocol.plan.config_schema import config_schema
from aether_protocol.plan.executors import DeclaredTypes, types_within
from aether_protocol.ports.worker import ExecutorOffer, Hello
from aether_protocol.server.hosting.known_workers import KnownWorkers
from aether_protocol.testing.clock import ManualClock
from aether_protocol.testing.contracts.broker import work

SHOUT = ExecutorType(
    "shout",
    "Shouts.",
    config=(
        ConfigField("text", "string", "What.", required=True),
        ConfigField("times", "integer", "How often.", minimum=1),
        ConfigField("wait", "duration", "How long.", words=("never",)),
        ConfigField("style", "object", "How.", fields=(ConfigField("mark", "string", "Behind it."),)),
        ConfigField("names", "array", "To whom.", items="string"),
    ),
)
LOAD = ExecutorType.of_schema(
    "load",
    "Loads.",
    {
        "type": "object",
        "properties": {
            "rows": {"type": "array", "items": {"type": "integer"}},
            "place": {"$ref": "#/$defs/Place"},
            "fixed": {"const": {"if": 1, "else": 2}},
        },
        "$defs": {"Place": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}},
        "additionalProperties": False,
    },
)


def declared(type_: ExecutorType) -> ExecutorType:
    return type_of_offer(ExecutorOffer(name=type_.name, version="1", config=config_schema(type_)))


@pytest.mark.rule("RT-130")
@pytest.mark.parametrize(
    ("type_", "config", "fits"),
    [
        (SHOUT, {"text": "a"}, True),
        (SHOUT, {"text": "a", "times": 2, "wait": "3s", "style": {"mark": "!"}, "names": ["bob"]}, True),
        (SHOUT, {"text": "a", "times": "{{inputs.parameters.n}}"}, True),
        (SHOUT, {"text": "a", "times": None}, True),
        (SHOUT, {"text": "a", "wait": "never"}, True),
        (SHOUT, {"text": "a", "times": "often"}, False),
        (SHOUT, {"text": "a", "times": 0}, False),
        (SHOUT, {"text": "a", "wait": "soon"}, False),
        (SHOUT, {"text": "a", "style": {"mrk": "!"}}, False),
        (SHOUT, {"text": "a", "names": [{}]}, False),
        (SHOUT, {"text": "a", "tims": 3}, False),
        (SHOUT, {"times": 1}, False),
        (LOAD, {"rows": [1], "place": {"n": 1}, "fixed": {"if": 1, "else": 2}}, True),
        (LOAD, {"rows": ["{{inputs.parameters.n}}"]}, True),
        (LOAD, {"rows": ["x"]}, False),
        (LOAD, {"place": {"n": "x"}}, False),
        (LOAD, {"place": {}}, False),
        (LOAD, {"fixed": 2}, False),
        (LOAD, {"b": 1}, False),
    ],
)
def test_a_declared_type_judges_as_the_type_itself(type_: ExecutorType, config: dict[str, Any], fits: bool) -> None:
    for one in (type_, declared(type_)):
        faults = check_config(one, config, placeholders=True)
        assert (faults == []) is fits, (one, faults)


def test_all_installed_types_can_be_declared() -> None:
    for name, executor in InstalledExecutors().items():
        assert check_config(declared(executor.type), "{{inputs.parameters.all}}", placeholders=True) == [], name
        assert check_config(declared(executor.type), {"no_such_field": 1}, placeholders=True) or executor.type.open_config, name


def test_fields_of_text_are_known_and_those_of_other_schemas_are_not_taken_for_them() -> None:
    texts = {field.name for field in declared(SHOUT).config if field.type == "string"}
    assert texts == {"text"}
    wide = ExecutorType.of_schema(
        "wide", "Takes both.", {"type": "object", "properties": {"v": {"type": ["string", "number", "boolean"]}}}
    )
    offer = ExecutorOffer(name="wide", version="1", config=dict(wide.schema or {}))
    assert [field.type for field in type_of_offer(offer).config] == ["any"]


@pytest.mark.rule("RT-151")
def test_of_several_declarations_of_one_name_a_config_has_to_fit_one() -> None:
    old = ExecutorType.of_schema("load", "", {"type": "object", "properties": {"a": {}}, "additionalProperties": False})
    new = ExecutorType.of_schema("load", "", {"type": "object", "properties": {"b": {}}, "additionalProperties": False})
    both = either(new, either(old, either(new, None)))
    assert both.alternatives == (old,)
    assert check_config(both, {"a": 1}, placeholders=True) == check_config(both, {"b": 1}, placeholders=True) == []
    (fault,) = check_config(both, {"a": 1, "b": 1}, placeholders=True)
    assert "'a'" in fault.message, "it is held against the newest one"
    assert either(new, either(new, None)) == new


@pytest.mark.rule("RT-151")
def test_a_config_is_held_against_the_version_of_its_worker_unless_all_have_the_one_that_is_known() -> None:
    def offer(version: str, *fields: str) -> ExecutorOffer:
        known: dict[str, Any] = {name: {} for name in fields}
        return ExecutorOffer(name="load", version=version, config={"properties": known, "additionalProperties": False})

    def misfits(installed: ExecutorOffer | None, *offers: ExecutorOffer) -> list[bool]:
        variants = ExecutorVariants()
        variants.installed = {} if installed is None else {"load": replace(type_of_offer(installed), version=installed.version)}
        noted = [variants.note([one])["load"] for one in offers]
        assignment = replace(work(1, "load"), config={"b": 1})
        return [variants.why_not(assignment, one) is not None for one in noted]

    old, new = offer("1", "a"), offer("2", "b")
    assert misfits(None, old) == [False], "its worker says so itself"
    assert misfits(None, old, new) == [True, False]
    assert misfits(new, old) == [True], "documents were checked against another version"
    own = type_of_offer(old)
    same = ExecutorOffer(name="load", version="1", config=config_schema(own))
    assert misfits(same, same) == [False]


@pytest.mark.rule("RT-151")
def test_a_secret_in_a_config_fits_whatever_takes_text_for_what_it_says_is_not_known_here() -> None:
    variants, secret = ExecutorVariants(), SecretValue(("a", ("db", "password")))
    words = {"type": "array", "items": {"type": "object", "properties": {"word": {"type": "string", "pattern": "^[a-z]+$"}}}}
    configs = [{"properties": {"b": schema}, "additionalProperties": False} for schema in (words, {"type": "integer"})]
    noted = [variants.note([ExecutorOffer(name="load", version="1", config=config)])["load"] for config in configs]
    given = replace(work(1, "load"), config={"b": [{"word": secret}]})
    assert [variants.why_not(given, one) is None for one in noted] == [True, False]


def test_what_the_server_has_itself_counts_before_what_workers_declare() -> None:
    other = ExecutorType.of_schema("shout", "", {"type": "object", "properties": {"b": {}}, "additionalProperties": False})
    types = DeclaredTypes({"shout": SHOUT}, {"shout": other}, {"ops": {"shout": other}})
    assert (types["shout"], types_within(types, "ops")["shout"]) == (SHOUT, SHOUT)


@pytest.mark.rule("RT-151")
def test_of_a_worker_for_all_namespaces_and_one_of_a_namespace_a_config_has_to_fit_one_there() -> None:
    async def go(*served: list[str] | None) -> tuple[bool, bool]:
        told = DeclaredTypes({}, {}, {})

        def declare(types: Any, by_namespace: Any) -> None:
            nonlocal told
            told = DeclaredTypes({}, types, by_namespace)

        known = KnownWorkers(MemoryStore(), WorkerBroker(ManualClock(), b"k" * 32), declare)
        for number, namespaces in enumerate(served):
            config = {"type": "object", "properties": {f"v{len(namespaces or ())}": {}}, "additionalProperties": False}
            offers = [ExecutorOffer(name="load", version=str(number), config=config)]
            hello = Hello(worker=f"w{number}", protocols=[1], executors=offers, slots={"tasks": 1})
            await known.note(hello, namespaces=namespaces)

        def fits(namespace: str) -> list[bool]:
            type_ = types_within(told, namespace)["load"]
            return [not check_config(type_, {key: 1}, placeholders=True) for key in ("v0", "v1")]

        assert fits("other") == [True, False]
        return tuple(fits("ops"))  # type: ignore[return-value]

    assert asyncio.run(go(None, ["ops"])) == (True, True)
    assert asyncio.run(go(["ops"], None)) == (True, True)


@pytest.mark.rule("RT-151")
def test_what_workers_of_one_namespace_declare_is_known_there_alone() -> None:
    async def go() -> None:
        store, told = MemoryStore(), DeclaredTypes({}, {}, {})

        def declare(types: Any, by_namespace: Any) -> None:
            nonlocal told
            told = DeclaredTypes({"script": SHOUT}, types, by_namespace)

        known = KnownWorkers(store, WorkerBroker(ManualClock(), b"k" * 32), declare)

        def hello(name: str, *executors: str) -> Hello:
            offers = [ExecutorOffer(name=one) for one in executors]
            return Hello(worker=name, protocols=[1], executors=offers, slots={"tasks": 1})

        await known.note(hello("w1", "common"))
        await known.note(hello("w2", "special"), namespaces=["ops", "dev"])
        for again in (False, True):
            assert sorted(told) == ["common", "script"]
            assert [sorted(types_within(told, one)) for one in ("ops", "dev", "other")] == [
                ["common", "script", "special"],
                ["common", "script", "special"],
                ["common", "script"],
            ]
            if not again:  # another server of the store
                await KnownWorkers(store, WorkerBroker(ManualClock(), b"k" * 32), declare).begin()

    asyncio.run(go())
