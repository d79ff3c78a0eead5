"""DATA-12: secrets go to the executor only, and come back as *** whatever a task does with them."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aether_protocol.errors import PortError, UsageError
from aether_protocol.execution.masking import MASK, Masker, StreamMask
from aether_protocol.plan.model import InputBinding, Literal
from aether_protocol.ports.wire import AttemptRef, TaskAssignment, TaskResult
from aether_protocol.scheduler.codec import encode_entry
from aether_protocol.service import client_of
from aether_protocol.testing.harness import Cluster, EngineWorld, run_on, succeed
from aether_protocol.views.report import make_report
from tests.unit.engine.plans import dag, plan, retry, secret, task

pytestmark = pytest.mark.rule("DATA-12")

TEXT = 'hun"ter\n2'


def masker(*texts: str) -> Masker:
    made = Masker()
    made.learn(texts)
    return made


def everything(world: EngineWorld, run: str) -> str:
    """All that is kept or shown of a run."""
    facts = [encode_entry(step) for step in world.steps]
    return json.dumps([facts, make_report(world.engine.driven.state(run)).to_json(), world.logs], ensure_ascii=False)


def test_the_executor_gets_the_text_and_nobody_else() -> None:
    seen: list[Any] = []

    def tell(given: TaskAssignment, context: Any) -> TaskResult:
        seen.append((given.config, given.inputs, tuple(given.secrets)))
        text = given.inputs["password"]
        context.log(f"it is {text[:3]}")
        context.log(f"{text[3:]} indeed\n")
        context.log(json.dumps({"p": text}), "stderr")
        outputs = {"deep": [{"p": text, text: 1}], "part": f"<{text}>", "pin": 4711, "ok": True}
        return TaskResult(given.ref, 2, f"wrong: {text}", outputs)

    async def body(world: EngineWorld) -> None:
        inputs = (secret("password", "db", "password"), secret("pin", "db", "pin"))
        config = {"url": "https://me:{{inputs.parameters.password}}@host", "plain": [1]}
        run = await world.engine.submit(plan(dag(task("a", "tell", config, *inputs))))
        await client_of(world.engine).runs.wait(run)
        records = [record async for record in client_of(world.engine).runs.events(run, follow=True)]
        told = everything(world, run) + json.dumps(records)
        for form in (TEXT, json.dumps(TEXT)[1:-1], "hun", "4711"):
            assert form not in told
        node = (await client_of(world.engine).runs.report(run)).tasks[1]
        assert node.outputs == {"deep": [{"p": MASK, MASK: 1}], "part": "<***>", "pin": MASK, "ok": True}
        assert node.message == "wrong: ***"
        assert node.inputs == {"password": MASK, "pin": MASK}
        assert "".join(text for _, stream, text in world.logs if stream == "stdout") == "it is *** indeed\n"

    run_on(EngineWorld({"tell": ("inline", tell)}, secrets={"db": {"password": TEXT, "pin": "4711"}}), body)
    assert seen == [
        (
            {"url": f"https://me:{TEXT}@host", "plain": [1]},
            {"password": TEXT, "pin": "4711"},
            (("db", "password"), ("db", "pin")),
        )
    ]


def test_what_an_executor_raises_is_masked_too() -> None:
    def boom(given: TaskAssignment, context: Any) -> TaskResult:
        raise ValueError(f"cannot log in with {given.inputs['p']}")

    async def body(world: EngineWorld) -> None:
        run = await world.engine.submit(plan(dag(task("a", "boom", None, secret("p", "db", "p")))))
        assert (await client_of(world.engine).runs.wait(run)).tasks[1].message == "cannot log in with ***"
        assert "hunter2" not in everything(world, run)
        assert "Traceback" in world.logs[0][2]

    run_on(EngineWorld({"boom": ("inline", boom)}, secrets={"db": {"p": "hunter2"}}), body)


def test_a_missing_secret_is_an_error_that_names_it() -> None:
    async def body(world: EngineWorld) -> None:
        run = await world.engine.submit(plan(dag(task("a", "echo", None, secret("p", "db", "nope")))))
        report = await client_of(world.engine).runs.wait(run)
        assert report.tasks[1].phase == "Error"
        assert report.tasks[1].message == "secret 'db' has no key 'nope' in any of the secret providers"
        assert world.engine.driven.state(run).nodes[1].code == 3

    run_on(EngineWorld(secrets={"db": {"p": "hunter2"}}), body)


def test_a_provider_that_fails_is_an_error_of_the_task() -> None:
    class Down:
        def get(self, name: str, key: str) -> str | None:
            raise PortError("the vault is sealed")

    async def body(world: EngineWorld) -> None:
        world.broker.secrets.providers = (Down(),)
        run = await world.engine.submit(plan(dag(task("a", "echo", None, secret("p", "db", "p")))))
        assert "the vault is sealed" in (await client_of(world.engine).runs.wait(run)).tasks[1].message

    run_on(EngineWorld(), body)


def test_providers_are_asked_at_each_dispatch_and_what_went_out_stays_masked() -> None:
    class Rotating:
        texts: ClassVar = iter(["first-text", "second-text"])

        def get(self, name: str, key: str) -> str | None:
            return next(self.texts)

    said: list[str] = []

    def fail_once(given: TaskAssignment, context: Any) -> TaskResult:
        said.append(given.inputs["p"])
        return TaskResult(given.ref, 3 if len(said) < 2 else 0, " ".join(said))

    async def body(world: EngineWorld) -> None:
        world.broker.secrets.providers = (Rotating(),)
        run = await world.engine.submit(plan(dag(task("a", "x", None, secret("p", "d", "p"), retry=retry(1)))))
        await world.pass_time()
        assert (await client_of(world.engine).runs.wait(run)).tasks[1].message == "*** ***"

    run_on(EngineWorld({"x": ("inline", fail_once)}), body)
    assert said == ["first-text", "second-text"]


def test_secrets_of_one_run_do_not_mask_another() -> None:
    async def body(world: EngineWorld) -> None:
        run = await world.engine.submit(plan(dag(task("a", "echo", None, secret("p", "db", "p")))))
        await client_of(world.engine).runs.wait(run)
        other = InputBinding("x", "string", True, (Literal("hunter2"),))
        run = await world.engine.submit(plan(dag(task("a", "echo", None, other))))
        assert (await client_of(world.engine).runs.wait(run)).tasks[1].outputs == {"x": "hunter2"}

    run_on(EngineWorld(secrets={"db": {"p": "hunter2"}}), body)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("say hunter2 twice: hunter2", "say *** twice: ***"),
        (json.dumps('a"b\\c'), '"***"'),
        (json.dumps(json.dumps('a"b\\c')), '"\\"***\\""'),
        ("grüße and gr\\u00fc\\u00dfe", "*** and ***"),
        ("p%40ss%20word", "***"),
        ("line one", "***"),
        ("the end", "the end"),
    ],
)
def test_spellings(text: str, shown: str) -> None:
    secrets = ("hunter2", 'a"b\\c', "grüße", "p@ss word", "line one\nx\n")
    assert masker(*secrets).text(text) == shown


def test_numbers_keys_and_what_is_no_secret() -> None:
    mask = masker("1234", "1.5", "true", "")
    assert mask.value({"1234": 1234, "f": 1234.0, "g": 1.5, "n": 12345, "b": True, "z": None, "t": "so true"}) == {
        MASK: MASK,
        "f": MASK,
        "g": MASK,
        "n": 12345,
        "b": True,
        "z": None,
        "t": "so ***",
    }
    assert masker("").text("nothing to hide") == "nothing to hide"


def test_text_that_may_be_the_beginning_of_a_secret_is_held_back() -> None:
    log = StreamMask(masker("hunter2"))
    assert log.feed("it is hun") == "it is "
    assert log.feed("gry") == "hungry"
    assert log.feed("hunter2 and h") == "*** and "
    assert log.flush() == "h"
    assert log.flush() == ""


@settings(max_examples=300)
@given(
    st.lists(st.text("abA", min_size=1, max_size=5), min_size=1, max_size=3),
    st.lists(st.text("abA", max_size=6), max_size=8),
)
def test_logs_show_no_secret_however_they_are_cut(texts: list[str], pieces: list[str]) -> None:
    mask = masker(*texts)
    log = StreamMask(mask)
    shown = "".join(log.feed(piece) for piece in pieces) + log.flush()
    assert not any(text in shown for text in texts)
    if not any(text in "".join(pieces) for text in texts):
        assert shown == "".join(pieces)


def test_nothing_is_masked_where_no_secret_went_out() -> None:
    async def body(world: EngineWorld) -> None:
        run = await world.engine.submit(plan(dag(task("a"))))
        await client_of(world.engine).runs.wait(run)
        assert world.broker.secrets.of(run).masker is None

    run_on(EngineWorld({"x": ("inline", succeed)}, secrets={"db": {"p": "hunter2"}}), body)


@pytest.mark.parametrize(
    ("secret_text", "shown"),
    [
        ("8675309", -8675309),
        ("8675309", 5586753095500),
        ("8675309", 8675309.0),
        ("8675309", 0.8675309),
        ("1234.50", 1234.5),
        ("1e3", 1000),
        ("-77", 77),
    ],
)
def test_numbers_that_hold_a_secret(secret_text: str, shown: float) -> None:
    assert masker(secret_text).value(shown) == MASK


@pytest.mark.parametrize("around", ["", "u:", "us:", "use:"])
def test_base64_of_a_secret_and_what_is_around_it(around: str) -> None:
    """As in `Authorization: Basic`, which servers that echo a request return."""
    whole = base64.b64encode(f"{around}correct-horse!".encode()).decode()
    shown = masker("correct-horse").text(whole)
    before, _, after = shown.partition(MASK)
    assert len(before + after) <= len(whole) - 16


def test_a_provider_that_breaks_is_an_error_of_the_task_and_tells_nothing() -> None:
    class Broken:
        def get(self, name: str, key: str) -> Any:
            if name == "number":
                return 5
            raise KeyError("hunter2")

    async def body(world: EngineWorld) -> None:
        world.broker.secrets.providers = (Broken(),)
        tasks = [task(name, "echo", None, secret("p", name, "p")) for name in ("number", "broken")]
        report = await client_of(world.engine).runs.wait(await world.engine.submit(plan(dag(*tasks))))
        assert [(one.phase, one.message) for one in report.tasks[1:]] == [
            ("Error", "secret 'number', key 'p', is of type int, not text"),
            ("Error", "secret 'broken', key 'p', cannot be read: KeyError"),
        ]

    run_on(EngineWorld(), body)


def test_a_flood_of_what_might_begin_a_long_secret_costs_little() -> None:
    """Seen by its work, not by a clock: 2 MB in lines against 64 kB of secret."""
    mask = StreamMask(masker("y" * 65_536))
    assert "".join(mask.feed("x" * 65_535 + "\n") for _ in range(32)) == ("x" * 65_535 + "\n") * 32


class Vault:
    """A provider of another machine; it may be down, or have lost what it had."""

    def __init__(self, *, blocking: bool) -> None:
        self.blocking = blocking
        self.state = "up"

    def get(self, name: str, key: str) -> str | None:
        if self.state == "down":
            raise PortError("the vault is sealed")
        return "hunter2" if self.state == "up" else None


@pytest.mark.rule("DATA-12", "RT-119")
@pytest.mark.parametrize("blocking", [False, True])
@pytest.mark.parametrize("state", ["down", "empty"])
@pytest.mark.parametrize("elsewhere", [False, True])
def test_after_a_takeover_without_its_vault_nothing_is_recorded_unmasked(
    tmp_path: Path, blocking: bool, state: str, elsewhere: bool
) -> None:
    vault = Vault(blocking=blocking)
    asks = plan(dag(task("a", "echo", None, secret("p", "db", "p")), task("ask", "await", after=(0,))))

    hangs = plan(dag(task("a", "echo", None, secret("p", "db", "p")), task("hang", "sleep", {"duration": "1d"}, after=(0,))))

    async def body(cluster: Cluster) -> None:
        first = await cluster.start("first")
        runs = [await first.submit(asks, run_id=name) for name in ("told", "approved")]
        runs.append(await first.submit(hangs, run_id="by-hand"))
        await cluster.pass_time(1)
        await cluster.kill(first)
        vault.state = state
        second = await cluster.start("second")
        await cluster.pass_time(20)
        assert sorted(await second.recover()) == sorted(runs)
        asking = client_of(await cluster.start("third") if elsewhere else second).control
        answers: list[dict[str, Any]] = [{"say": "it is hunter2"}, {"hunter2": True}, {"approved": "hunter2"}, {"n": 1}]
        for answer in answers:
            asked = asyncio.ensure_future(asking.resume("told", "ask", answer, reason="hunter2 was seen"))
            await cluster.pass_time(cluster.elapsed() + 5)
            with pytest.raises(UsageError, match="cannot be masked: secret 'db', key 'p'"):
                await asked
        approved = asyncio.ensure_future(asking.resume("approved", "ask", {"approved": True}, reason="hunter2 was seen"))
        await cluster.pass_time(cluster.elapsed() + 5)
        await approved
        second.deliver(TaskResult(AttemptRef("by-hand", "main.hang", 1), 0, "hunter2", {"x": "hunter2"}))
        await cluster.pass_time(cluster.elapsed() + 5)
        vault.state = "up"
        again = asyncio.ensure_future(asking.resume("told", "ask", {"say": "it is hunter2"}))
        await cluster.pass_time(cluster.elapsed() + 5)
        await again
        reports = [await client_of(second).runs.report(run) for run in runs]
        assert [str(one.phase) for one in reports] == ["Succeeded", "Succeeded", "Error"]
        assert "cannot be masked" in reports[2].tasks[2].message
        assert reports[0].tasks[2].outputs == {"say": "it is ***"}
        assert [one.message for one in reports[1].warnings if "resumed" in one.message] == ["resumed: ***"]

    cluster = Cluster(tmp_path, lease_s=15)
    cluster._secrets = [vault]  # type: ignore[list-item]
    run_on(cluster, body)
    assert b"hunter2" not in b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
