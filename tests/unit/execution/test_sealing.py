"""What a person writes to an engine elsewhere is read by that engine alone, and never lies open in the store (RT-119)."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from base64 import b64decode, b64encode
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aether_protocol.engine.mailbox import is_private, resume_question
from aether_protocol.errors import PortError, UsageError
from aether_protocol.execution.sealing import SealingKey, seal
from aether_protocol.expressions.values import Json
from aether_protocol.plan.model import Plan
from aether_protocol.service import client_of
from aether_protocol.testing.harness import Cluster, run_on
from tests.unit.engine.plans import dag, plan, secret, task

KEY = SealingKey()
TEXT = "hunter2 was seen"

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
)


@settings(max_examples=25)
@given(json_values)
def test_what_is_sealed_is_opened_as_it_was(value: Json) -> None:
    assert KEY.open(seal(KEY.public, value)) == value


def test_the_text_is_not_in_what_is_sealed_and_no_two_are_alike() -> None:
    first, second = seal(KEY.public, TEXT), seal(KEY.public, TEXT)
    assert first != second
    for sealed in (first, second):
        assert TEXT not in sealed
        assert TEXT.encode() not in b64decode(sealed)


def test_only_its_key_opens_it() -> None:
    with pytest.raises(UsageError, match="sealed for another engine"):
        SealingKey().open(seal(KEY.public, TEXT))


@pytest.mark.parametrize("place", [0, 31, 32, 47, -17, -16, -1])
def test_what_was_changed_is_refused(place: int) -> None:
    data = bytearray(b64decode(seal(KEY.public, TEXT)))
    data[place] ^= 1
    with pytest.raises(UsageError, match="cannot be opened"):
        KEY.open(b64encode(bytes(data)).decode())


@pytest.mark.parametrize("sealed", ["", "no base64!", "AAAA"])
def test_what_is_not_sealed_is_refused(sealed: str) -> None:
    with pytest.raises(UsageError, match="cannot be opened"):
        KEY.open(sealed)


@pytest.mark.parametrize("key", [bytes(32), b"\x01" + bytes(31), bytes(31), bytes(256), b""])
def test_what_gives_no_secret_of_two_is_not_a_key(key: bytes) -> None:
    """Numbers of a small order would give a text that everybody can open."""
    with pytest.raises(UsageError, match="no key"):
        seal(b64encode(key).decode(), TEXT)


def test_a_program_that_is_never_asked_loads_no_cryptography() -> None:
    code = "import sys, aether_protocol.engine.api, aether_protocol.cli.drive; print('cryptography' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_without_its_library_what_would_be_sealed_is_refused_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    public, sealed = KEY.public, seal(KEY.public, TEXT)
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.hpke", None)  # as where it is not installed, or too old
    for asked in (lambda: SealingKey().public, lambda: seal(public, TEXT), lambda: KEY.open(sealed)):
        with pytest.raises(PortError) as refused:
            asked()
        assert refused.value.hint == "pip install 'cryptography>=47'"


def test_what_may_hold_a_secret_is_private() -> None:
    def with_document(document: Json) -> Plan:
        made = plan(dag(task("a")))
        return type(made)(**{name: getattr(made, name) for name in made.__struct_fields__} | {"snapshot": document})

    parameter = {"name": "p", "valueFrom": {"secretKeyRef": {"name": "db", "key": "p"}}}
    secretive = with_document({"workflow": {"spec": {"templates": [{"task": {"inputs": {"parameters": [parameter]}}}]}}})
    open_ = with_document({"workflow": {"spec": {"templates": []}}})
    said, silent = resume_question("main.a", {"say": "x"}), resume_question("main.a", {})
    assert [is_private(secretive, said), is_private(secretive, silent)] == [True, False]
    assert [is_private(open_, said), is_private(open_, silent)] == [False, False]
    assert is_private(secretive, resume_question("main.a", {}, "a reason"))


def asking() -> Plan:
    return plan(dag(task("a", "echo", None, secret("p", "db", "p")), task("ask", "await", after=(0,))))


def everything_in(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())


@pytest.mark.rule("DATA-12", "RT-119")
def test_an_answer_and_reasons_reach_an_engine_elsewhere_and_never_lie_open(tmp_path: Path) -> None:
    async def body(cluster: Cluster) -> None:
        driving, other = await cluster.start("driving"), await cluster.start("other")
        first, second = await driving.submit(asking()), await driving.submit(asking())
        await cluster.pass_time(1)
        control = client_of(other).control
        asked = [
            asyncio.ensure_future(control.resume(first, "ask", {"say": "it is hunter2"}, reason=TEXT)),
            asyncio.ensure_future(control.cancel(second, reason=TEXT)),
        ]
        await cluster.pass_time(10)
        await asyncio.gather(*asked)
        resumed, cancelled = [await client_of(other).runs.report(run) for run in (first, second)]
        assert resumed.tasks[2].outputs == {"say": "it is ***"}
        assert [one.message for one in resumed.warnings if "resumed" in one.message] == ["resumed: *** was seen"]
        assert (cancelled.phase, cancelled.message) == ("Cancelled", "cancelled: *** was seen")
        assert b"hunter2" not in everything_in(tmp_path)

    run_on(Cluster(tmp_path, lease_s=15, secrets={"db": {"p": "hunter2"}}), body)


@pytest.mark.rule("RT-119")
def test_what_was_sealed_for_an_engine_that_is_gone_is_sealed_again(tmp_path: Path) -> None:
    async def body(cluster: Cluster) -> None:
        first, other = await cluster.start("first"), await cluster.start("other")
        run = await first.submit(asking())
        await cluster.pass_time(1)
        asked = asyncio.ensure_future(client_of(other).control.cancel(run, reason=TEXT))
        await cluster.pass_time(1.05)  # the key is asked for
        for _ in range(40):
            await cluster.pass_time(cluster.elapsed() + 0.05)
            if await answered(first):
                break
        await cluster.kill(first)
        second = await cluster.start("second")
        await second.store.leases.release("first")
        assert await second.recover() == [run]
        await cluster.pass_time(cluster.elapsed() + 10)
        await asked
        assert (await client_of(second).runs.report(run)).message == "cancelled: *** was seen"
        assert b"hunter2" not in everything_in(tmp_path)

    async def answered(engine: object) -> bool:
        return "public" in vars(engine._keeper._key)  # type: ignore[attr-defined]  # it was asked for

    run_on(Cluster(tmp_path, lease_s=15, secrets={"db": {"p": "hunter2"}}), body)


@pytest.mark.rule("RT-119")
def test_an_engine_without_the_library_says_so_to_who_asks_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(cluster: Cluster) -> None:
        driving, other = await cluster.start("driving"), await cluster.start("other")
        run = await driving.submit(asking())
        await cluster.pass_time(1)
        monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.hpke", None)
        asked = asyncio.ensure_future(client_of(other).control.resume(run, "ask", {"say": "it is hunter2"}))
        await cluster.pass_time(10)
        with pytest.raises(PortError, match="is not installed") as refused:
            await asked
        assert refused.value.hint == "pip install 'cryptography>=47'"
        assert b"hunter2" not in everything_in(tmp_path)

    run_on(Cluster(tmp_path, lease_s=15, secrets={"db": {"p": "hunter2"}}), body)
