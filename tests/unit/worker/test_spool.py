"""The log spool of a worker: order, bounds, notes for what is dropped, disks that are full."""

from __future__ import annotations

import asyncio
import contextlib
import resource
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from aether_protocol.ports.worker import LogReceipt, LogReport
from aether_protocol.testing.clock import ManualClock
from aether_protocol.worker import spool as module
from aether_protocol.worker.outbox import Outbox
from aether_protocol.worker.spool import FLIGHT_BYTES, HEAD_BYTES, TAIL_BYTES, LogSpool

pytestmark = pytest.mark.rule("RT-133")

MB = 2**20


class Reader:
    """Takes what is sent, acknowledges it, and puts the streams together."""

    def __init__(self, spool: LogSpool) -> None:
        self.spool = spool
        self._pieces: dict[tuple[str, str], list[str]] = {}
        self.notes: list[LogReport] = []
        self.ends: dict[tuple[str, str], int] = {}
        self.largest = 0

    @property
    def texts(self) -> dict[tuple[str, str], str]:
        return {name: "".join(pieces) for name, pieces in self._pieces.items()}

    async def read_all(self) -> None:
        while not self.spool.is_empty():
            reports = self.spool.take()
            self.largest = max(self.largest, sum(len(one.text) for one in reports))
            for one in reports:
                name = (one.token, one.stream)
                assert one.offset >= self.ends.get(name, 0), "in order"
                self.ends[name] = one.offset + len(one.text)
                if "were dropped" in one.text:
                    self.notes.append(one)
                else:
                    self._pieces.setdefault(name, []).append(one.text)
            self.spool.acknowledged(
                [LogReceipt(token=one.token, stream=one.stream, stored=one.offset + len(one.text)) for one in reports]
            )
            await asyncio.sleep(0.001)


def run(body: Callable[[LogSpool], Awaitable[None]], folder: Path, most_bytes: int = 64 * MB) -> None:
    async def go() -> None:
        spool = LogSpool(asyncio.Event(), folder, most_bytes)
        try:
            await body(spool)
        finally:
            spool.close()

    asyncio.run(go())


async def fill(spool: LogSpool, size: int, token: str = "t", line: int = 1000) -> str:
    """Write so many bytes of numbered lines, and let the disk take them."""
    text = ""
    for number in range(size // line):
        piece = f"{number:>{line - 1}}\n"
        spool.add(LogReport(token=token, stream="stdout", offset=len(text), text=piece))
        text += piece
        if number % 500 == 0:
            await asyncio.sleep(0.002)
    for _ in range(500):
        if not spool._tail:
            break
        await asyncio.sleep(0.002)
    return text


def test_what_memory_does_not_hold_goes_through_the_disk_and_comes_out_whole_and_in_order(tmp_path: Path) -> None:
    async def body(spool: LogSpool) -> None:
        one = await fill(spool, 6 * MB)
        spool.add(LogReport(token="u", stream="stderr", offset=0, text="short"))
        assert spool.unsent() == {"t", "u"}
        reader = Reader(spool)
        await asyncio.wait_for(reader.read_all(), 30)
        assert reader.texts == {("t", "stdout"): one, ("u", "stderr"): "short"}
        assert reader.notes == []
        assert reader.largest <= FLIGHT_BYTES + 2 * 8192
        assert not spool.unsent()

    run(body, tmp_path)
    assert not list(tmp_path.iterdir()), "the files have no name"


def test_the_oldest_goes_with_a_note_in_its_place(tmp_path: Path) -> None:
    async def body(spool: LogSpool) -> None:
        one = await fill(spool, 12 * MB)
        reader = Reader(spool)
        await asyncio.wait_for(reader.read_all(), 30)
        (note,) = reader.notes
        dropped = int(note.text.split()[0].removeprefix("["))
        kept = reader.texts["t", "stdout"]
        assert len(kept) + dropped == len(one)
        assert spool.dropped_bytes == dropped, "to be reported"
        assert kept == one[: note.offset] + one[note.offset + dropped :]
        assert 2 * MB < len(kept) < 2 * HEAD_BYTES + 3 * MB + TAIL_BYTES

    run(body, tmp_path, most_bytes=2 * MB)


def test_one_delivery_that_writes_much_does_not_hold_up_the_others(tmp_path: Path) -> None:
    async def body(spool: LogSpool) -> None:
        spool.add(LogReport(token="t", stream="stdout", offset=0, text="x" * (4 * FLIGHT_BYTES)))
        spool.add(LogReport(token="u", stream="stdout", offset=0, text="short"))
        sent = spool.take()
        assert sum(len(one.text) for one in sent if one.token == "t") <= FLIGHT_BYTES
        assert [one.text for one in sent if one.token == "u"] == ["short"]
        assert spool.take() == [], "nothing more before something is acknowledged"
        spool.rewind()
        assert spool.take() == sent, "the same again"

    run(body, tmp_path)


@contextlib.contextmanager
def files_up_to(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_is_full_costs_text_and_hangs_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def body(spool: LogSpool) -> None:
        with files_up_to(100_000):
            one = await fill(spool, 5 * MB)
        reader = Reader(spool)
        await asyncio.wait_for(reader.read_all(), 30)
        dropped = sum(int(note.text.split()[0].removeprefix("[")) for note in reader.notes)
        assert dropped
        assert len(reader.texts["t", "stdout"]) + dropped == len(one)
        assert len([record for record in caplog.records if "cannot be kept on disk" in record.message]) == 1

    run(body, tmp_path)


def test_a_folder_that_cannot_be_written_to_costs_text_alone(tmp_path: Path) -> None:
    async def body(spool: LogSpool) -> None:
        (tmp_path / "file").write_text("in the way")
        one = await fill(spool, 3 * MB)
        reader = Reader(spool)
        await asyncio.wait_for(reader.read_all(), 30)
        assert one.startswith(reader.texts["t", "stdout"][:HEAD_BYTES])
        assert reader.notes

    run(body, tmp_path / "file" / "logs")


def test_what_is_dropped_is_reported_once_also_where_the_server_is_away(tmp_path: Path) -> None:
    async def go() -> None:
        outbox = Outbox(ManualClock(), tmp_path, 2 * MB)
        await fill(outbox.logs, 12 * MB)
        report = outbox.take()
        assert report is not None
        assert report.log_bytes_dropped > MB
        outbox.put_back(report)
        again = outbox.take()
        assert again is not None
        assert again.log_bytes_dropped == report.log_bytes_dropped
        outbox.arrived()
        outbox.logs.rewind()
        last = outbox.take()
        assert last is not None
        assert last.log_bytes_dropped == 0
        outbox.logs.close()

    asyncio.run(go())


def test_what_the_server_does_not_take_is_dropped_and_a_note_goes_in_its_place(tmp_path: Path) -> None:
    async def body(spool: LogSpool) -> None:
        spool.add(LogReport(token="t", stream="stdout", offset=0, text="a" * 5000))
        spool.add(LogReport(token="t", stream="stderr", offset=0, text="b" * 100))
        spool.add(LogReport(token="t", stream="stdout", offset=5000, text="c" * 3000))
        spool.take()
        assert spool.give_up("t")
        assert spool.dropped_bytes == 8100
        spool.add(LogReport(token="t", stream="stdout", offset=8000, text="and more"))
        first, second, third = spool.take()
        assert (first.stream, first.offset, first.text) == ("stdout", 0, "[8000 bytes of the log were dropped]\n")
        assert (second.stream, second.offset, second.text) == ("stdout", 8000, "and more")
        assert (third.stream, third.offset, third.text) == ("stderr", 0, "[100 bytes of the log were dropped]\n")
        assert spool.give_up("t")
        assert spool.dropped_bytes == 8108, "a note is no text"
        spool.add(LogReport(token="t", stream="stdout", offset=8008, text="."))
        assert [one.text.split()[0] for one in spool.take()] == ["[8008", ".", "[100"]
        assert spool.give_up("t")
        spool.take()
        assert not spool.give_up("t"), "there were notes alone"
        sent = spool.take()
        assert [(one.offset, one.text.split()[0]) for one in sent] == [(0, "[8009"), (0, "[100")]
        spool.acknowledged([LogReceipt(token=one.token, stream=one.stream, stored=len(one.text)) for one in sent])
        assert spool.is_empty()
        assert spool._head_bytes == 0

    run(body, tmp_path)


def test_what_is_given_up_stands_before_what_was_dropped_behind_it(tmp_path: Path) -> None:
    async def body(spool: LogSpool) -> None:
        spool.add(LogReport(token="t", stream="stdout", offset=0, text="x" * (FLIGHT_BYTES + 8192)))
        sent = sum(len(one.text) for one in spool.take())
        spool._gap(("t", "stdout"), 10 * MB, 1000)
        spool.give_up("t")
        note, *_ = spool.take()
        assert (note.offset, note.text.split()[0]) == (0, f"[{sent + 1000}")

    run(body, tmp_path)


def test_what_was_dropped_is_noted_behind_what_is_on_disk_from_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server would take what comes later and stands earlier for known."""
    monkeypatch.setattr(module, "HEAD_BYTES", 100)
    monkeypatch.setattr(module, "TAIL_BYTES", 100)

    async def go() -> None:
        filled = asyncio.Event()
        logs = LogSpool(filled, tmp_path)
        logs.add(LogReport(token="x", stream="stdout", offset=0, text="x" * 100))
        assert [one.token for one in logs.take()] == ["x"], "and it is not acknowledged: there is no room"
        logs.add(LogReport(token="a", stream="stdout", offset=0, text="0" * 60))
        assert logs._mover is not None
        await logs._mover
        for start in (60, 120, 180):
            logs.add(LogReport(token="a", stream="stdout", offset=start, text="1" * 60))
        assert logs.take() == []
        logs.acknowledged([LogReceipt(token="x", stream="stdout", stored=100)])
        sent: list[LogReport] = []
        while not sent or sent[-1].offset < 180:
            await asyncio.wait_for(filled.wait(), 10)
            filled.clear()
            sent += logs.take()
        assert [one.offset for one in sent] == sorted(one.offset for one in sent)
        assert [one.offset for one in sent][:2] == [0, 60]
        assert "dropped" in sent[1].text
        logs.close()

    asyncio.run(go())
