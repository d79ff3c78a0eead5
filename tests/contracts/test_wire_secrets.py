"""DATA-12 over a wire: no byte of it holds a secret's text, and data that looks like a reference stays data everywhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from aether_protocol.adapters.stores.sqlite.store import open_sqlite
from aether_protocol.expressions.json_copy import MAX_LEVELS
from aether_protocol.expressions.values import Json, SecretValue
from aether_protocol.plan.model import InputBinding, Reference
from aether_protocol.ports.store import SNAPSHOT, STATE_ACTION_LOG
from aether_protocol.ports.wire import TaskAssignment, TaskResult
from aether_protocol.ports.wire_json import WireError, decode_assignment, encode_assignment
from aether_protocol.service import client_of
from aether_protocol.testing.contracts.broker import work
from aether_protocol.testing.harness import Cluster, EngineWorld, run_on
from aether_protocol.testing.wire_broker import Wire, WireBroker
from tests.unit.engine.plans import dag, plan, secret, task, value

pytestmark = pytest.mark.rule("DATA-12", "WIRE-1", "RT-120")

TEXT = "correct-horse-battery"

LOOK_ALIKES: list[Json] = [
    {"$secret": ["https://", ["db", "password"]]},
    {"$secret": [{"name": "db", "key": "password"}]},
    {"$$secret": 1, "$secret": None},
    {"secretKeyRef": {"name": "db", "key": "password"}},
    {"name": "db", "key": "password"},
    ["s", {"$secret": [["db", "password"]]}],
    ["v", {"$secret": [["db", "password"]]}],
    {"secretPlaces": {"/inputs/password": [{"name": "db", "key": "password"}]}},
    "{{inputs.parameters.password}}",
    {"/config/url": ["x"], "~1": {"": None}},
]


def input_from(name: str, task_name: str, output: str) -> InputBinding:
    from aether_protocol.expressions import parse_name

    return InputBinding(name, "any", True, (Reference(parse_name(f"tasks.{task_name}.outputs.parameters.{output}")),))


def test_no_byte_on_the_wire_holds_a_secret() -> None:
    got: list[Any] = []

    def use(given: TaskAssignment, context: Any) -> TaskResult:
        got.append((given.config, given.inputs["password"], list(given.payloads)))
        context.log(f"log in with {given.inputs['password']}\n")
        if not given.payloads:
            return given.suspend(f"is {TEXT} right?")
        result = given.fail(f"no: {TEXT}", outputs={"deep": [{"it": TEXT, TEXT: 1}]})
        result.warnings = (TEXT.upper(),)
        return result

    async def body(world: EngineWorld) -> None:
        config = {
            "a/b~c": {"url": "https://me:{{inputs.parameters.password}}@host"},
            "list": [0, "{{inputs.parameters.password}}"],
        }
        one = task("use", "use", config, secret("password", "db", "password"))
        run = await world.engine.submit(plan(dag(one, task("other", "echo", None, value("x", 1)))))
        await world.engine.driven.join(run, or_suspended=True)
        await client_of(world.engine).control.resume(run, "main.use", {"say": f"yes, {TEXT}"})
        report = await client_of(world.engine).runs.wait(run)
        assert (report.tasks[1].phase, report.tasks[1].message) == ("Failed", "no: ***")
        assert isinstance(world.broker, WireBroker)
        wire = b"\n".join(world.broker.seen)
        assert b"password" in wire
        assert TEXT.encode() not in wire.lower()

    run_on(EngineWorld({"use": ("thread", use)}, secrets={"db": {"password": TEXT}}, broker=WireBroker), body)
    config = {"a/b~c": {"url": f"https://me:{TEXT}@host"}, "list": [0, TEXT]}
    assert got == [(config, TEXT, []), (config, TEXT, [{"say": "yes, ***"}])]


@pytest.mark.parametrize("look_alike", LOOK_ALIKES, ids=lambda one: json.dumps(one)[:40])
@pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside a secret"])
def test_an_output_that_looks_like_a_reference_stays_data(look_alike: Json, beside: bool, tmp_path: Path) -> None:
    """Through the wire, the store, a replay and a snapshot, and as the input of the next task, beside real references."""
    got: list[Json] = []

    def give(given: TaskAssignment, context: Any) -> TaskResult:
        return given.succeed(it=look_alike)

    def take(given: TaskAssignment, context: Any) -> TaskResult:
        got.append(given.inputs["it"])
        return given.succeed(it=given.inputs["it"])

    secrets = [secret("password", "db", "password")] if beside else []
    flow = plan(
        dag(
            task("give", "give", None, *secrets),
            task("take", "take", {"it": "{{inputs.parameters.it}}"}, input_from("it", "give", "it"), *secrets, after=[0]),
        )
    )

    async def body(world: EngineWorld) -> None:
        run = await world.engine.submit(flow)
        await client_of(world.engine).runs.wait(run)
        state = await world.engine.driven.load(run)
        replayed = await world.engine.driven.load(run, state.seq)
        for one in (state, replayed):
            assert [one.nodes[number].outputs for number in (1, 2)] == [{"it": look_alike}] * 2

    functions = {"give": ("inline", give), "take": ("inline", take)}
    world = EngineWorld(functions, secrets={"db": {"password": TEXT}}, broker=WireBroker)
    run_on(world, body)
    assert got == [look_alike]
    assert isinstance(world.broker, WireBroker)
    assert TEXT.encode() not in b"".join(world.broker.seen)


@pytest.mark.parametrize("look_alike", LOOK_ALIKES, ids=lambda one: json.dumps(one)[:40])
def test_in_an_assignment_too(look_alike: Json) -> None:
    sent: list[TaskAssignment] = []

    class SeeingWire(Wire):
        def carry(self, value: Any, encode: Any, decode: Any) -> Any:
            if isinstance(value, TaskAssignment):
                sent.append(value)
            return super().carry(value, encode, decode)

    class Sees(WireBroker):
        def __init__(self, *given: Any, **options: Any) -> None:
            super().__init__(*given, **options)
            self.wire = SeeingWire()

    async def body(world: EngineWorld) -> None:
        one = task("a", "echo", None, value("it", look_alike), secret("password", "db", "password"))
        await client_of(world.engine).runs.wait(await world.engine.submit(plan(dag(one))))

    run_on(EngineWorld(secrets={"db": {"password": TEXT}}, broker=Sees), body)
    message = json.loads(json.dumps(encode_assignment(sent[0])))
    assert message["inputs"] == {"it": look_alike, "password": None}
    assert message["secretPlaces"] == {"/inputs/password": [{"name": "db", "key": "password"}]}
    assert decode_assignment(message).inputs == {"it": look_alike, "password": SecretValue((("db", "password"),))}


def test_a_stored_run_keeps_look_alikes_apart_from_references(tmp_path: Path) -> None:
    async def body(world: EngineWorld) -> None:
        one = task("a", "await", None, value("it", LOOK_ALIKES), secret("password", "db", "password"))
        run = await world.engine.submit(plan(dag(one)))
        await world.engine.driven.join(run, or_suspended=True)
        state = await world.engine.driven.load(run, (await world.engine.driven.load(run)).seq)
        assert state.nodes[1].inputs == {"it": LOOK_ALIKES, "password": SecretValue((("db", "password"),))}

    run_on(EngineWorld(store=open_sqlite(tmp_path / "s.db"), secrets={"db": {"password": TEXT}}, broker=WireBroker), body)
    assert not any(TEXT.encode() in file.read_bytes() for file in tmp_path.iterdir())


@pytest.mark.rule("RT-50")
@pytest.mark.parametrize("tier", [SNAPSHOT, STATE_ACTION_LOG])
@pytest.mark.parametrize("look_alike", LOOK_ALIKES, ids=lambda one: json.dumps(one)[:40])
def test_and_through_snapshots_and_the_recovery_by_another_engine(tmp_path: Path, look_alike: Json, tier: str) -> None:
    """What a task gives, and what is answered to one that waits, beside real secrets of the same run."""
    got: list[Any] = []

    def give(given: TaskAssignment, context: Any) -> TaskResult:
        return given.succeed(it=look_alike, real=given.inputs["password"])

    def take(given: TaskAssignment, context: Any) -> TaskResult:
        got.append((given.inputs["it"], [dict(one) for one in given.payloads], given.inputs["password"]))
        return given.succeed(it=given.inputs["it"]) if given.payloads else given.suspend()

    secrets = [secret("password", "db", "password")]
    flow = plan(
        dag(
            task("give", "give", None, *secrets),
            task("take", "take", None, input_from("it", "give", "it"), *secrets, after=[0]),
        )
    )

    async def body(cluster: Cluster) -> None:
        engine = await cluster.start()
        run = await engine.submit(flow)
        await cluster.pass_time(1)
        await cluster.kill(engine)
        engine = await cluster.start()
        assert await engine.recover() == [run]
        await client_of(engine).control.resume(run, "main.take", {"answer": look_alike})
        await cluster.pass_time(2)
        state = engine.driven.state(run)
        assert str(state.phase) == "Succeeded"
        assert [state.nodes[number].outputs["it"] for number in (1, 2)] == [look_alike] * 2
        assert state.nodes[1].outputs["real"] == "***"

    tools: Any = {"give": ("inline", give), "take": ("inline", take)}
    run_on(Cluster(tmp_path, tools, tier=tier, secrets={"db": {"password": TEXT}}), body)
    assert got == [(look_alike, [], TEXT), (look_alike, [{"answer": look_alike}], TEXT)]
    assert not any(TEXT.encode() in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_a_value_as_deep_as_the_engine_takes_it_fits_into_an_assignment() -> None:
    """What lies around it in the message does not count among its levels."""
    deep: Json = 1
    for _ in range(MAX_LEVELS - 1):
        deep = [deep]
    target = work(1)
    target.inputs = {"it": deep}
    assert decode_assignment(encode_assignment(target)).inputs == {"it": deep}
    target.inputs = {"it": [deep]}
    with pytest.raises(WireError, match="nested too deeply"):
        decode_assignment(encode_assignment(target))
