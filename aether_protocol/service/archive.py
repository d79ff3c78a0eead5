"""A run as one file: JSON lines in ASCII, the head first, then steps and logs, a digest of all of it last.

Law: what is read back is what was written, or it is refused: the digest covers every line. New fields may be added to a
line; `version` grows when an older reader could misread it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Final

from msgspec import Struct

from aether_protocol.engine.artifacts import named_of
from aether_protocol.engine.recovery import examine
from aether_protocol.engine.submission import check_run_id
from aether_protocol.errors import AetherError, UsageError
from aether_protocol.expressions.json_copy import clean, json_copy
from aether_protocol.expressions.values import Json
from aether_protocol.plan.codec import decode_plan, encode_plan
from aether_protocol.ports.store import SNAPSHOT, STATE_ACTION_LOG, LogLine, RunSummary, Store, StoredRun
from aether_protocol.scheduler.codec import decode_header, encode_header
from aether_protocol.views.summary import make_row

FORMAT: Final = "aether-run"
VERSION: Final = 2  # 1 was never released
PAGE: Final = 2_000

_ROW: Final = RunSummary.__struct_fields__
_LOG_KINDS: Final = {"node": int, "path": str, "attempt": int, "stream": str, "text": str, "at": int}
_LOG: Final = tuple(_LOG_KINDS)
TIERS: Final = (SNAPSHOT, STATE_ACTION_LOG)


class Archive(Struct):
    """A run that was read from a file."""

    run: StoredRun
    logs: list[LogLine]


async def archive_lines(store: Store, run_id: str) -> AsyncIterator[str]:
    """Give the run as it is now, line by line: all its steps, where the store keeps them; else its latest state."""
    digest = hashlib.sha256()
    async for record in _records(store, run_id):
        line = json.dumps(record, separators=(",", ":")) + "\n"
        digest.update(line.encode("ascii"))
        yield line
    yield json.dumps({"end": digest.hexdigest()}) + "\n"


async def _records(store: Store, run_id: str) -> AsyncIterator[Json]:
    stored = await store.runs.load(run_id)
    seq = stored.row.seq
    whole = not seq or [number for number, _ in await store.runs.lines(run_id, 0, 1)] == [1]
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
            page = [(number, line) for number, line in await store.runs.lines(run_id, after, PAGE) if number <= seq]
            for _, line in page:
                yield {"step": line}
            after = page[-1][0]
    else:
        for line in stored.lines:
            yield {"step": line}
    after = 0
    while logs := await store.logs.read(run_id, None, after):
        for log in logs:
            yield {"log": [getattr(log, name) for name in _LOG]}
        after = logs[-1].seq


def read_archive(lines: Iterable[str], file: str) -> Archive:
    """The run in a file. Raises UsageError where it is none, is damaged, or was written by a newer version.

    A digest only tells of accidents: the run is also replayed, and its row is made anew from what comes out.
    """
    records = _checked(lines, file)
    head = next(records)
    try:
        json_copy(head)
        row = RunSummary(**{name: value for name, value in head["row"].items() if name in _ROW})
        run = StoredRun(row, decode_plan(head["plan"]), decode_header(head["header"]), head["snapshot"], [])
        logs: list[LogLine] = []
        for record in records:
            if "step" in record:
                run.lines.append(clean(record["step"]))
            elif "log" in record:
                logs.append(_log_line(row.run_id, record["log"]))
        check_run_id(row.run_id)
        if run.header.run_id != row.run_id or row.tier not in TIERS:
            raise ValueError("its parts do not belong together")
        state = examine(run)
        run.row = make_row(state, row.tier)
        run.artifacts = sorted(named_of(state))
    except UsageError:
        raise
    except AetherError as error:
        raise _damaged(file, error.message) from error
    except Exception as error:  # whatever a file can hold
        raise _damaged(file, f"{type(error).__name__}: {error}") from error
    return Archive(run, logs)


def _log_line(run_id: str, parts: Json) -> LogLine:
    line = LogLine(run_id, *parts)
    for name, kind in _LOG_KINDS.items():
        if type(getattr(line, name)) is not kind:
            raise ValueError(f"{name} of a log is {getattr(line, name)!r}")
    json_copy(parts)
    return line


def _checked(lines: Iterable[str], file: str) -> Iterator[Json]:
    """The records, the head first; complains at the end where the digest does not fit, or is not there."""
    digest = hashlib.sha256()
    first, ended = True, False
    for line in lines:
        if ended:
            raise _damaged(file, "something follows its end")
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            record = None
        if first:
            _check_head(record, file)
        if not isinstance(record, dict):
            raise _damaged(file, "a line is not a record")
        if "end" in record:
            if record["end"] != digest.hexdigest():
                raise _damaged(file, "its digest does not fit")
            ended = True
            continue
        digest.update(line.encode("utf-8"))
        first = False
        yield record
    if not ended:
        raise UsageError(f"{file!r} is not an exported run" if first else f"{file!r} is cut off: its end is missing")


def _check_head(record: Json, file: str) -> None:
    if not isinstance(record, dict) or record.get("format") != FORMAT or type(record.get("version")) is not int:
        raise UsageError(f"{file!r} is not an exported run", hint="'aether export RUN' writes one")
    if record["version"] > VERSION:
        told = f"{file!r} was written by a newer version: its format is {record['version']}, this is {VERSION}"
        raise UsageError(told, hint="use that version")
    if record["version"] < VERSION:
        told = f"{file!r} was written by an older version: its format is {record['version']}, this is {VERSION}"
        raise UsageError(told, hint="import it with the version that wrote it")


def _damaged(file: str, why: str) -> UsageError:
    return UsageError(f"{file!r} is damaged: {why}")
