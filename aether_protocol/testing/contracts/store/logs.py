"""What every store must keep (the Store port): logs.

Law: nothing in this file knows a particular store.
"""

from __future__ import annotations

from aether_protocol.ports.store import LogLine, Store
from aether_protocol.testing.contracts.store.tools import (
    Contract,
    new_run,
)

MANY = 4 * 1024 * 1024  # characters; every store keeps less of one task run


def line(text: str, path: str = "main.t", run_id: str = "a", at: int = 5) -> LogLine:
    return LogLine(run_id=run_id, node=1, path=path, attempt=1, stream="stdout", text=text, at=at)


class LogContract(Contract):
    """What tasks wrote."""

    def test_lines_come_back_in_order_and_in_pages(self) -> None:
        async def body(store: Store) -> None:
            await store.runs.create(new_run("a"))
            await store.runs.create(new_run("b"))
            assert await store.logs.read("a") == []
            odd = ["one\n", "nul \0 \ud800 ü\n", "'; --"]
            await store.logs.write([line(odd[0]), line("other", run_id="b"), line(odd[1]), line("lost", run_id="nobody")])
            await store.logs.write([line(odd[2])])
            first = await store.logs.read("a", limit=2)
            rest = await store.logs.read("a", after=first[-1].seq)
            found = first + rest
            assert [item.text.replace("\\ud800", "\ud800") for item in found] == odd
            assert [item.seq for item in found] == sorted({item.seq for item in found})
            assert found[0] == LogLine(
                run_id="a", node=1, path="main.t", attempt=1, stream="stdout", text="one\n", at=5, seq=found[0].seq
            )
            assert [item.text for item in await store.logs.read("b")] == ["other"]

        self.play(body)

    def test_the_last_lines_come_in_order_too(self) -> None:
        async def body(store: Store) -> None:
            await store.runs.create(new_run("a"))
            await store.logs.write([line(str(number), f"main.t{number % 2}") for number in range(10)])
            every = await store.logs.read("a")
            end = every[-1].seq + 1
            assert await store.logs.read("a", limit=3, before=end) == every[-3:]
            assert await store.logs.read("a", limit=3, before=every[-3].seq) == every[-6:-3]
            assert await store.logs.read("a", after=every[-5].seq, before=every[-3].seq) == [every[-4]]
            assert [one.text for one in await store.logs.read("a", "main.t1", limit=2, before=end)] == ["7", "9"]
            assert await store.logs.read("a", before=every[0].seq) == []
            text = "x" * 4096
            for _ in range(MANY // len(text) // 64):
                await store.logs.write([line(text, "main.t0")] * 64)
            every = await store.logs.read("a", limit=100_000)
            assert "note" in [one.stream for one in every]
            end = every[-1].seq + 1
            assert await store.logs.read("a", limit=100_000, before=end) == every
            assert await store.logs.read("a", limit=3, before=end) == every[-3:]

        self.play(body)

    def test_a_path_means_what_is_below_it_too(self) -> None:
        async def body(store: Store) -> None:
            await store.runs.create(new_run("a"))
            paths = ["main", "main.t", "main.t2", "main.t[0]", "main.t.x", "main%t"]
            await store.logs.write([line("x", path) for path in paths])
            assert [item.path for item in await store.logs.read("a", "main.t")] == ["main.t", "main.t[0]", "main.t.x"]
            assert [item.path for item in await store.logs.read("a", "main")] == paths[:5]
            assert await store.logs.read("a", "main%") == []

        self.play(body)

    def test_what_is_kept_of_a_task_run_is_bounded_and_the_gap_is_told(self) -> None:
        async def body(store: Store) -> None:
            await store.runs.create(new_run("a"))
            await store.logs.write([line("quiet", "main.q")])
            text = "x" * 4096
            for start in range(0, MANY // len(text), 64):
                await store.logs.write([line(f"{start + number} {text}") for number in range(64)])
            kept = await store.logs.read("a", limit=100_000)
            assert kept[0].path == "main.q"
            assert [item.stream for item in kept].count("note") == 1
            assert kept[1].stream == "note"
            assert sum(len(item.text) for item in kept) < MANY // 2
            assert kept[-1].text.startswith(f"{MANY // len(text) - 1} "), "the newest stay"
            numbers = [int(item.text.split()[0]) for item in kept[2:]]
            assert numbers == list(range(numbers[0], MANY // len(text))), "without another gap"
            assert kept[1].text.split()[0] == str(sum(len(f"{number} {text}") for number in range(numbers[0])))
            assert await store.logs.read("a", after=kept[1].seq, limit=1) == [kept[2]], "it is reported once"

        self.play(body)

    def test_of_a_delivery_what_comes_twice_is_kept_once_also_by_the_next_process(self) -> None:
        def part(start: int, text: str, delivery: int = 7, stream: str = "stdout") -> LogLine:
            made = line(text)
            made.stream, made.delivery, made.start_byte = stream, delivery, start
            made.end_byte = start + len(text.encode())
            return made

        async def first(store: Store) -> None:
            await store.runs.create(new_run("a"))
            await store.logs.write([part(0, "één "), part(0, "één "), part(6, "two "), part(0, "err ", stream="stderr")])

        async def second(store: Store) -> None:
            await store.logs.write([part(6, "two "), part(0, "één two three "), part(10, "three ")])
            await store.logs.write([part(0, "err ", stream="stderr"), part(30, "after a gap "), part(0, "again ", 8)])
            await store.logs.write([line("without "), line("without ")])
            texts = [item.text for item in await store.logs.read("a")]
            assert texts == ["één ", "two ", "err ", "three ", "after a gap ", "again ", "without ", "without "]

        async def both(store: Store) -> None:
            await first(store)
            other = await self.client(store)
            try:
                await second(other)
            finally:
                if other is not store:
                    await other.close()

        self.play(both)

    def test_logs_go_with_their_run(self) -> None:
        async def body(store: Store) -> None:
            await store.runs.create(new_run("a"))
            await store.logs.write([line("x")])
            await store.runs.delete(["a"])
            assert await store.logs.read("a") == []
            await store.runs.create(new_run("a"))
            assert await store.logs.read("a") == []

        self.play(body)
