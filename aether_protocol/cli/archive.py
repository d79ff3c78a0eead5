"""A run as one file: JSON lines in ASCII, the head first, then steps and logs, a digest of all of it last.

Law: what is read back is what was written, or it is refused: the digest covers every line. New fields may be added to a
line; `version` grows when an older reader could misread it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Final

from aether_protocol.errors import UsageError
from aether_protocol.expressions.values import Json
from aether_protocol.plan.codec import decode_plan, encode_plan
from aether_protocol.ports.store import LogLine, RunRow, Store, StoredRun
from aether_protocol.scheduler.codec import decode_header, encode_header

FORMAT: Final = "aether-run"
VERSION: Final = 1
PAGE: Final = 2_000

_ROW: Final = tuple(field.name for field in fields(RunRow))
_LOG: Final = ("node", "path", "attempt", "stream", "text", "at")


@dataclass(slots=True)
class Archive:
    """A run that was read from a file."""

    run: StoredRun
    logs: list[LogLine]


async def write_archive(store: Store, run_id: str, write: Callable[[str], object]) -> None:
    """The run as it is now. All its steps, where the store keeps them; else its latest state."""
    digest = hashlib.sha256()
    async for record in _records(store, run_id):
        line = json.dumps(record, separators=(",", ":")) + "\n"
        digest.update(line.encode("ascii"))
        write(line)
    write(json.dumps({"end": digest.hexdigest()}) + "\n")


async def _records(store: Store, run_id: str) -> AsyncIterator[Json]:
    stored = await store.load(run_id)
    seq = stored.row.seq
    whole = not seq or [number for number, _ in await store.lines(run_id, 0, 1)] == [1]
    yield {
        "format": FORMAT,
        "version": VERSION,
        "row": {name: getattr(stored.row, name) for name in _ROW} | {"labels": dict(stored.row.labels)},
        "header": encode_header(stored.header),
        "plan": encode_plan(stored.plan),
        "snapshot": None if whole else stored.snapshot,
    }
    if whole:
        after = 0
        while after < seq:
            page = [(number, line) for number, line in await store.lines(run_id, after, PAGE) if number <= seq]
            for _, line in page:
                yield {"step": line}
            after = page[-1][0]
    else:
        for line in stored.lines:
            yield {"step": line}
    after = 0
    while logs := await store.read_logs(run_id, None, after):
        for log in logs:
            yield {"log": [getattr(log, name) for name in _LOG]}
        after = logs[-1].seq


def read_archive(lines: Iterable[str], file: str) -> Archive:
    """The run in a file. Raises UsageError where it is none, is damaged, or was written by a newer version."""
    records = _checked(lines, file)
    head = next(records)
    try:
        row = RunRow(**{name: value for name, value in head["row"].items() if name in _ROW})
        plan, header = decode_plan(head["plan"]), decode_header(head["header"])
        steps: list[str] = []
        logs: list[LogLine] = []
        for record in records:
            if "step" in record:
                steps.append(record["step"])
            elif "log" in record:
                logs.append(LogLine(row.run_id, **dict(zip(_LOG, record["log"], strict=False))))
        return Archive(StoredRun(row, plan, header, head["snapshot"], steps), logs)
    except (TypeError, KeyError, LookupError, ValueError, AttributeError) as error:
        raise _damaged(file, f"{type(error).__name__}: {error}") from error


def _checked(lines: Iterable[str], file: str) -> Iterator[Json]:
    """The records, the head first; complains at the end where the digest does not fit, or is not there."""
    digest = hashlib.sha256()
    first = True
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if first and not (isinstance(record, dict) and record.get("format") == FORMAT):
            raise UsageError(f"{file!r} is no exported run", hint="'aether export RUN' writes one")
        if first and record["version"] > VERSION:
            told = f"{file!r} was written by a newer version: its format is {record['version']}, this is {VERSION}"
            raise UsageError(told, hint="use that version")
        if not isinstance(record, dict):
            raise _damaged(file, "a line is no record")
        if "end" in record:
            if record["end"] != digest.hexdigest():
                raise _damaged(file, "its digest does not fit")
            return
        digest.update(line.encode("utf-8"))
        first = False
        yield record
    raise UsageError(f"{file!r} is no exported run" if first else f"{file!r} is cut off: its end is missing")


def _damaged(file: str, why: str) -> UsageError:
    return UsageError(f"{file!r} is damaged: {why}")
