"""Logs in SQL.

Law: the log of a task run is bounded by KEEP_LOG_CHARACTERS; what is dropped is counted, and the count is shown in its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aether_protocol.adapters.stores.sql.records import COVERED, damaged, require, sum_of
from aether_protocol.adapters.stores.sql.work import Row, Rows, SqlDatabase, Work, fetch, fetch_one
from aether_protocol.expressions.json_copy import clean
from aether_protocol.ports.store.logs import LogLine, new_of

_END: Final = 1 << 62  # after every line
KEEP_LOG_CHARACTERS: Final = 1024 * 1024  # of a task run; a quarter of it goes at a time

_INSERT_LOG: Final = f"INSERT INTO logs ({COVERED['logs']}, sum) VALUES ({', '.join('?' * 11)})"
_GROW: Final = (
    "INSERT INTO log_bounds (run, path, size, dropped, last, sum) VALUES (?1, ?2, ?3, 0, 0, ?4) "
    "ON CONFLICT (run, path) DO UPDATE SET size = log_bounds.size + ?3 RETURNING size"
)


class SqlLogs:
    """`ports.store.LogStore`."""

    def __init__(self, database: SqlDatabase) -> None:
        self._db = database

    async def write(self, lines: Sequence[LogLine]) -> None:
        await self._db.transact(lambda: self._write(lines))

    def _write(self, lines: Sequence[LogLine]) -> Work[None]:
        numbers: dict[str, int | None] = {}
        sizes: dict[tuple[int, str], int] = {}
        rows = Rows()
        known: dict[tuple[int, str, int, str], int] = {}
        ids = yield from self._db.next_ids("logs", len(lines))
        for id_, line in zip(ids, lines, strict=True):
            if line.run_id not in numbers:
                found = yield from fetch_one("SELECT number FROM runs WHERE run_id = ?", (line.run_id,))
                numbers[line.run_id] = found[0] if found is not None else None
            number = numbers[line.run_id]
            if number is None:
                continue
            text = clean(line.text)
            if line.delivery:
                stream = (number, line.path, line.delivery, line.stream)
                if stream not in known:
                    known[stream] = yield from _stored(stream)
                text = clean(new_of(line, known[stream]))
                if not text:
                    continue
                known[stream] = line.end_byte
            about = (id_, number, line.path, line.node, line.attempt)
            values = (*about, line.stream, text, line.at, line.delivery, line.end_byte)
            rows.append((*values, sum_of("logs", values)))
            sizes[number, line.path] = sizes.get((number, line.path), 0) + len(text)
        yield _INSERT_LOG, rows
        for (number, path), size in sorted(sizes.items()):
            grown = yield from fetch_one(_GROW, (number, path, size, sum_of("log_bounds", (number, path, 0, 0))))
            assert grown is not None
            if grown[0] > KEEP_LOG_CHARACTERS:
                yield from _rotate(number, path, grown[0])

    async def read(
        self, run_id: str, path: str | None = None, after: int = 0, limit: int = 1_000, *, before: int | None = None
    ) -> list[LogLine]:
        asked = (after, path, limit, _END if before is None else before)
        lines = await self._db.query(lambda: self._read(run_id, asked, "ASC" if before is None else "DESC"), bulk=True)
        lines.sort(key=lambda line: line.seq)
        return lines[:limit] if before is None else lines[-limit:]

    def _read(self, run_id: str, asked: tuple[int, str | None, int, int], order: str) -> Work[list[LogLine]]:
        there = (
            "AND CAST(?3 AS TEXT) IS NULL"
            if asked[1] is None
            else "AND (path = ?3 OR substr(path, 1, length(?3) + 1) IN (?3 || '.', ?3 || '['))"
        )
        found = yield from fetch_one("SELECT number FROM runs WHERE run_id = ?", (run_id,))
        if found is None:
            return []
        values = (found[0], *asked)
        dropped = yield from fetch(
            f"SELECT {COVERED['log_bounds']}, sum FROM log_bounds WHERE run = ?1 AND last > ?2 AND last < ?5 {there} "
            f"ORDER BY last {order} LIMIT ?4",
            values,
        )
        kept = yield from fetch(
            f"SELECT {COVERED['logs']}, sum FROM logs WHERE run = ?1 AND id > ?2 AND id < ?5 {there} "
            f"ORDER BY id {order} LIMIT ?4",
            values,
        )
        lines = [_make(run_id, row) for row in kept]
        for *bound, sum_ in dropped:
            require("log_bounds", bound, sum_, f"a log of run {run_id!r}")
            _, path, characters, last = bound
            lines.append((yield from _note(run_id, found[0], path, (characters, last))))
        return lines


def _make(run_id: str, row: Row) -> LogLine:
    *values, sum_ = row
    require("logs", values, sum_, f"a log of run {run_id!r}")
    id_, _, path, node, attempt, stream, text, at, *_ = values
    return LogLine(run_id=run_id, node=node, path=path, attempt=attempt, stream=stream, text=text, at=at, seq=id_)


def _stored(stream: tuple[int, str, int, str]) -> Work[int]:
    """Up to which byte the stream of a delivery is stored. The newest lines of a task run are looked at first, and those that
    come twice are among them."""
    found = yield from fetch_one(
        "SELECT end_byte FROM logs WHERE run = ? AND path = ? AND delivery = ? AND stream = ? ORDER BY id DESC LIMIT 1",
        stream,
    )
    return int(found[0]) if found is not None else 0


def _rotate(number: int, path: str, total: int) -> Work[None]:
    """Drop the oldest lines of a task run until three quarters of the bound are left, but never the newest one."""
    where = (number, path)
    found = yield from fetch("SELECT id, length(text) FROM logs WHERE run = ? AND path = ? ORDER BY id", where)
    gone, last = 0, 0
    for id_, size in found[:-1]:
        if total - gone <= KEEP_LOG_CHARACTERS * 3 // 4:
            break
        gone, last = gone + size, id_
    if gone:
        yield "DELETE FROM logs WHERE run = ? AND path = ? AND id <= ?", (*where, last)
        before = yield from fetch_one("SELECT dropped FROM log_bounds WHERE run = ? AND path = ?", where)
        assert before is not None
        sum_ = sum_of("log_bounds", (*where, before[0] + gone, last))
        text = "UPDATE log_bounds SET size = size - ?, dropped = ?, last = ?, sum = ? WHERE run = ? AND path = ?"
        yield text, (gone, before[0] + gone, last, sum_, *where)


def _note(run_id: str, number: int, path: str, dropped: tuple[int, int]) -> Work[LogLine]:
    """The line that stands for those that were dropped."""
    characters, last = dropped
    text = "SELECT node, attempt, at FROM logs WHERE run = ? AND path = ? ORDER BY id LIMIT 1"
    found = yield from fetch_one(text, (number, path))
    if found is None:  # the newest one is never dropped
        raise damaged(f"a log of run {run_id!r}")
    node, attempt, at = found
    return LogLine(
        run_id=run_id,
        node=node,
        path=path,
        attempt=attempt,
        stream="note",
        text=f"{characters} characters before this were dropped\n",
        at=at,
        seq=last,
    )
