"""Logs in SQLite.

Law: the log of a task run is bounded by KEEP_LOG_CHARACTERS; what is dropped is counted, and the count is shown in its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aether_protocol.adapters.stores.sqlite.database import Database, Execute, next_id
from aether_protocol.adapters.stores.sqlite.records import COVERED, damaged, require, sum_of
from aether_protocol.expressions.json_copy import clean
from aether_protocol.ports.store.logs import LogLine, new_of

_END: Final = 1 << 62  # after every line
KEEP_LOG_CHARACTERS: Final = 1024 * 1024  # of a task run; a quarter of it goes at a time

_INSERT_LOG: Final = f"INSERT INTO logs ({COVERED['logs']}, sum) VALUES ({', '.join('?' * 11)})"


class SqliteLogs:
    """`ports.store.LogStore`."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def write(self, lines: Sequence[LogLine]) -> None:
        numbers: dict[str, int | None] = {}
        sizes: dict[tuple[int, str], int] = {}
        async with self._db.write() as execute:
            id_ = next_id(execute, "logs")
            for line in lines:
                if line.run_id not in numbers:
                    found = execute("SELECT number FROM runs WHERE run_id = ?", (line.run_id,)).fetchone()
                    numbers[line.run_id] = found[0] if found is not None else None
                number = numbers[line.run_id]
                if number is None:
                    continue
                text = clean(new_of(line, _stored(execute, number, line)) if line.delivery else line.text)
                if line.delivery and not text:
                    continue
                about = (id_, number, line.path, line.node, line.attempt)
                values = (*about, line.stream, text, line.at, line.delivery, line.end_byte)
                execute(_INSERT_LOG, (*values, sum_of("logs", values)))
                id_ += 1
                sizes[number, line.path] = sizes.get((number, line.path), 0) + len(text)
            for (number, path), size in sizes.items():
                (total,) = execute(
                    "INSERT INTO log_bounds (run, path, size, dropped, last, sum) VALUES (?1, ?2, ?3, 0, 0, ?4) "
                    "ON CONFLICT DO UPDATE SET size = size + ?3 RETURNING size",
                    (number, path, size, sum_of("log_bounds", (number, path, 0, 0))),
                ).fetchall()[0]
                if total > KEEP_LOG_CHARACTERS:
                    _rotate(execute, number, path, total)

    async def read(
        self, run_id: str, path: str | None = None, after: int = 0, limit: int = 1_000, *, before: int | None = None
    ) -> list[LogLine]:
        there = "" if path is None else "AND (path = ?3 OR substr(path, 1, length(?3) + 1) IN (?3 || '.', ?3 || '['))"
        order = "ASC" if before is None else "DESC"
        with self._db.read() as execute:
            found = execute("SELECT number FROM runs WHERE run_id = ?", (run_id,)).fetchone()
            if found is None:
                return []
            values = (found[0], after, path, limit, _END if before is None else before)
            dropped = execute(
                f"SELECT {COVERED['log_bounds']}, sum FROM log_bounds WHERE run = ?1 AND last > ?2 AND last < ?5 {there} "
                f"ORDER BY last {order} LIMIT ?4",
                values,
            ).fetchall()
            kept = execute(
                f"SELECT {COVERED['logs']}, sum FROM logs WHERE run = ?1 AND id > ?2 AND id < ?5 {there} "
                f"ORDER BY id {order} LIMIT ?4",
                values,
            )
            lines = []
            for *line, sum_ in kept:
                require("logs", line, sum_, f"a log of run {run_id!r}")
                id_, _, there_, node, attempt, stream, text, at, *_ = line
                lines.append(
                    LogLine(run_id=run_id, node=node, path=there_, attempt=attempt, stream=stream, text=text, at=at, seq=id_)
                )
            for *bound, sum_ in dropped:
                require("log_bounds", bound, sum_, f"a log of run {run_id!r}")
                _, there_, characters, last = bound
                lines.append(_note(execute, run_id, found[0], there_, (characters, last)))
        lines.sort(key=lambda line: line.seq)
        return lines[:limit] if before is None else lines[-limit:]


def _stored(execute: Execute, number: int, line: LogLine) -> int:
    """Up to which byte the stream of a delivery is stored. The newest lines of a task run are looked at first, and those that
    come twice are among them."""
    found = execute(
        "SELECT end_byte FROM logs WHERE run = ? AND path = ? AND delivery = ? AND stream = ? ORDER BY id DESC LIMIT 1",
        (number, line.path, line.delivery, line.stream),
    ).fetchone()
    return int(found[0]) if found is not None else 0


def _rotate(execute: Execute, number: int, path: str, total: int) -> None:
    """Drop the oldest lines of a task run until three quarters of the bound are left, but never the newest one."""
    found = execute("SELECT id, length(text) FROM logs WHERE run = ? AND path = ? ORDER BY id", (number, path)).fetchall()
    gone, last = 0, 0
    for id_, size in found[:-1]:
        if total - gone <= KEEP_LOG_CHARACTERS * 3 // 4:
            break
        gone, last = gone + size, id_
    if gone:
        execute("DELETE FROM logs WHERE run = ? AND path = ? AND id <= ?", (number, path, last))
        where = (number, path)
        [before] = execute("SELECT dropped FROM log_bounds WHERE run = ? AND path = ?", where).fetchone()
        sum_ = sum_of("log_bounds", (*where, before + gone, last))
        execute(
            "UPDATE log_bounds SET size = size - ?, dropped = ?, last = ?, sum = ? WHERE run = ? AND path = ?",
            (gone, before + gone, last, sum_, *where),
        )


def _note(execute: Execute, run_id: str, number: int, path: str, dropped: tuple[int, int]) -> LogLine:
    """The line that stands for those that were dropped."""
    characters, last = dropped
    text = "SELECT node, attempt, at FROM logs WHERE run = ? AND path = ? ORDER BY id LIMIT 1"
    found = execute(text, (number, path)).fetchone()
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
