"""What a store in SQL records of runs: rows and texts, each with a digest, made and read again.

What is read again is what was written, or it is reported as a damaged store, whatever it holds instead. A digest is made of
the values as they are stored, in an order of columns that never changes; which columns it covers stands in COVERED and nowhere
else. Not covered is which engine drives a run, and when (owners, locks, breaks, `runs.owner`, `runs.token`, `runs.epoch`,
`runs.wake_at`), nor the feed of changes: that is not content. Lists compare the types of columns and what
cannot be alone, since they are read far more often than a run is opened.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import blake2b, sha256
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from aether_protocol.adapters.stores.sql.work import Row, SqlDatabase, Work, fetch, fetch_one
from aether_protocol.errors import AetherError, PortError
from aether_protocol.expressions.json_copy import clean
from aether_protocol.expressions.values import Json
from aether_protocol.ports.store.runs import RunQuery, RunSummary, lower_ascii
from aether_protocol.scheduler.transitions import Phase

if TYPE_CHECKING:
    from aether_protocol.plan.model import Plan
    from aether_protocol.scheduler.commands import LogEntry
    from aether_protocol.scheduler.events import RunHeader

# --- digests ---

SIZE: Final = 16  # bytes: against accidents, not against who can write the file
HINT: Final = "`aether db check` reports more; restore it from a backup"

# By table: the columns that its `sum` covers, in this order. Of `runs` there are two, `fixed` and `moved`.
COVERED: Final[Mapping[str, str]] = {
    "fixed": "run_id, workflow, namespace, version, labels, created_at, digest, retry_of, tier, document_version, trace_id",
    "moved": "phase, message, started_at, ended_at, closed, seq, leaves_ended, leaves_known",  # and `head`
    "heads": "run, plan, header",
    "snapshots": "run, seq, text",
    "keys": "namespace, key, run, digest",
    "requests": "run, request, given, answer",
    "logs": "id, run, path, node, attempt, stream, text, at, delivery, end_byte",
    "log_bounds": "run, path, dropped, last",  # `size` is that of the lines that are there
    "documents": "kind, namespace, name, text, digest, version, at",
    "document_marks": "file, kind, namespace, name, state, detail, at",
    "schedules": "number, namespace, name, settings, spec, document, applied_at, changed_at, seen, next_at, last_at, "
    "generation, version, plan",
    "fires": "id, schedule, at, kind, noted_at, run_id, reason, count, first, generation",
    "tokens": "token, name, kind, roles, pools, digest, created_at, expires_at, revoked_at",
    "namespaces": "name, created_at, weight, most",
    "audit": "id, at, actor, kind, token, action, namespace, target, outcome, detail",
    "identity": "id, text",
    "terms": "id, text, term",
    "workers": "name, text, namespaces, at, connected",
    "servers": "owner, text",
}
_TEXTS: Final = frozenset(  # columns of texts; the others hold integers
    {"action", "actor", "outcome", "pools", "roles", "target", "token"}
    | {"answer", "detail", "digest", "document", "file", "header", "key", "kind", "labels", "message", "name", "namespace"}
    | {"path", "phase", "reason", "request", "retry_of", "run_id", "settings", "spec", "state", "stream", "text", "tier"}
    | {"workflow", "owner", "namespaces", "trace_id"}
)
_MAY_LACK: Final = frozenset(
    {"retry_of", "started_at", "ended_at", "answer", "next_at", "last_at", "run_id", "first", "document_version"}
    | {"trace_id"}
    | {"expires_at", "revoked_at", "most"}
)


def _types(table: str, name: str) -> frozenset[type]:
    """What a column may hold. The version of a run is its document's, a text."""
    if (table, name) == ("fixed", "version"):
        return frozenset({str, type(None)})
    lacks = {type(None)} if name in _MAY_LACK and (table, name) != ("fixed", "run_id") else set()
    return frozenset({str if name in _TEXTS else int} | lacks)


_TYPES: Final = {
    table: tuple([_types(table, name) for name in columns.split(", ")]) for table, columns in COVERED.items()
}

_ascii: Final = json.JSONEncoder(separators=(",", ":")).encode


def sum_of(table: str, values: Sequence[Any]) -> bytes:
    """Make the digest of a row, from the values of the columns in COVERED."""
    return blake2b(f"{table}{_ascii(values)}".encode("ascii"), digest_size=SIZE).digest()


def sum_of_moved(values: Sequence[Any], head: bytes | None) -> bytes:
    """Make the digest `moved` of a run, which covers `head` as well."""
    return sum_of("moved", (*values, None if head is None else head.hex()))


def next_sum(before: bytes, id_: int, last: int, ended: int, change: int, lines: str) -> bytes:
    """Make the digest of a row of steps that follows the one with digest `before`."""
    made = blake2b(before, digest_size=SIZE)
    made.update(b"%d %s " % (id_, f"{last} {ended} {change}".encode("ascii")))
    made.update(lines.encode("utf-8", "surrogateescape"))
    return made.digest()


def has_types(table: str, values: Sequence[Any]) -> bool:
    """Whether values have the types of the columns that they are from."""
    return all(type(value) in types for value, types in zip(values, _TYPES[table], strict=True))


def fits(table: str, values: Sequence[Any], found: Any) -> bool:
    """Whether a row is as it was written, as far as its types and its digest can show."""
    return has_types(table, values) and found == sum_of(table, values)


def require(table: str, values: Sequence[Any], found: Any, what: str) -> None:
    """Raise PortError where a row that was read does not fit its digest; `what` names it."""
    if not fits(table, values, found):
        raise damaged(what)


def damaged(what: str) -> PortError:
    """Make the error for what does not fit its digest."""
    return PortError(f"{what} is damaged in the store: it does not fit its digest", hint=HINT)


def require_moved(values: Sequence[Any], head: Any, found: Any, what: str) -> None:
    """`require` for `runs.moved`, which covers `head` as well."""
    if not has_types("moved", values) or type(head) not in (bytes, type(None)) or found != sum_of_moved(values, head):
        raise damaged(what)


# --- rows of runs and of their steps ---

ROW: Final = (
    "run_id, workflow, namespace, version, labels, phase, message, created_at, started_at, ended_at, closed, seq, "
    "leaves_ended, leaves_known, digest, retry_of, tier"
)
# A run's row as it is now: of an open run, how far it is stands in the newest row of its steps.
NEWEST: Final = "(SELECT max(id) FROM steps WHERE id BETWEEN number << 32 AND (number << 32) + 4294967295)"
RUNS: Final = f"runs LEFT JOIN steps ON steps.id = CASE closed WHEN 0 THEN {NEWEST} END"
SEQ: Final = "CASE WHEN last > seq THEN last ELSE seq END"
_BROKEN: Final = "(SELECT reason FROM breaks WHERE run = runs.number AND aside = 1)"
_FAR: Final = f"{SEQ}, CASE WHEN last > seq THEN ended ELSE leaves_ended END"
SHOWN: Final = f"{ROW.replace('seq, leaves_ended', _FAR)}, {_BROKEN}, wake_at, document_version, trace_id"
_COLUMNS: Final = [*ROW.split(", "), "broken", "wake_at", "document_version", "trace_id"]
WIDTH: Final = len(_COLUMNS)
SUMMED: Final = "fixed, moved, seq, leaves_ended, head"
HEAD: Final = (
    "SELECT run, plan, header, heads.sum, digest, text FROM heads LEFT JOIN plans ON plans.number = plan WHERE run = ?"
)
_ROWS_OF_STEPS: Final = "SELECT id, last, ended, %s, lines, sum FROM steps WHERE id BETWEEN ? AND ? ORDER BY id"
_BEFORE: Final = "SELECT sum FROM steps WHERE id >= ? AND id < ? ORDER BY id DESC LIMIT 1"
_PHASES: Final = frozenset(map(str, Phase))
_END_OF_TIME: Final = 253_402_300_800_000_000  # the year 10000
_seen_shapes: Final[set[tuple[type, ...]]] = set()  # types of columns that were seen to be right

# The row that step ? is in, or the first one after it.
LINES: Final = (
    "SELECT id, last, ended, %s, lines, sum FROM steps WHERE id >= "
    "coalesce((SELECT max(id) FROM steps WHERE id BETWEEN ?1 AND ?2), ?1) AND id < ?3 ORDER BY id LIMIT ?4"
)
UNLIMITED: Final = 1 << 62  # rows: what LIMIT is given where all are wanted
to_json: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def moved_values(row: RunSummary) -> tuple[Json, ...]:
    """List what `runs.moved` covers, as it is stored."""
    times = clean(row.message), row.started_at, row.ended_at, int(row.closed)
    return row.phase, *times, row.seq, row.leaves_ended, row.leaves_known


def require_row(found: Row, whose: str) -> None:
    """Raise PortError where a run's row does not fit its digests: `found` has the columns of ROW, then those of SUMMED."""
    fixed, moved, seq, ended, head = found[WIDTH : WIDTH + 5]
    row = dict(zip(_COLUMNS, found, strict=False)) | {"seq": seq, "leaves_ended": ended}
    require("fixed", [row[name] for name in COVERED["fixed"].split(", ")], fixed, f"the row of {whose}")
    require_moved([row[name] for name in COVERED["moved"].split(", ")], head, moved, f"the row of {whose}")


def chained(change: str, number: int, first: int, whose: str) -> Work[list[str]]:
    """Read the lines of the rows of steps from step `first` on, each row compared with its digest, which covers `change`."""
    lines: list[str] = []
    before: bytes | None = None
    for row in (yield from fetch(_ROWS_OF_STEPS % change, ((number << 32) + first, ((number + 1) << 32) - 1))):
        before = yield from require_chained(row, before, whose)
        lines += row[4].split("\n")
    return lines


def require_chained(row: Row, before: bytes | None, whose: str) -> Work[bytes]:
    """Raise PortError where a row of steps does not fit its digest, which follows `before` (None: look it up); its digest."""
    id_, last, ended, change, lines, sum_ = row
    if (type(last), type(ended), type(change), type(lines)) != (int, int, int, str):
        raise damaged(f"the record of {whose}")
    if before is None:
        found = yield from fetch_one(_BEFORE, (id_ >> 32 << 32, id_))
        before = found[0] or b"" if found is not None else b""
    if next_sum(before, id_, last, ended, change, lines) != sum_:
        raise damaged(f"the record of {whose}")
    return bytes(sum_)


def make_row(found: Row) -> RunSummary:
    """Make a row from the columns of ROW. Raises PortError where they do not hold what they should."""
    shape = tuple(map(type, found))
    if shape not in _seen_shapes:
        row = dict(zip(_COLUMNS, found, strict=True))
        if not all(has_types(part, [row[name] for name in COVERED[part].split(", ")]) for part in ("fixed", "moved")) or not (
            isinstance(row["broken"], str | None) and isinstance(row["wake_at"], int | None)
        ):
            raise damaged("the row of a run")
        _seen_shapes.add(shape)
    made = RunSummary(*found)
    labels: Any = made.labels
    try:
        made.labels = json.loads(labels) if labels != "{}" else {}
        sane = made.phase in _PHASES and min(made.created_at, made.ended_at or 0) >= 0 and made.created_at < _END_OF_TIME
        sane = sane and (made.started_at or 0) < _END_OF_TIME and (made.ended_at or 0) < _END_OF_TIME
    except ValueError:
        sane = False
    if not sane or not isinstance(made.labels, dict):
        raise damaged("the row of a run")
    made.closed = made.closed == 1
    return made


def condition(query: RunQuery, database: SqlDatabase) -> tuple[str, list[Json]]:
    """Write a query as a condition in the dialect of a database, with its values.

    A label is found as it stands in the JSON text, which no other text can contain.
    """
    table: list[tuple[str, Json]] = [
        ("workflow = ?", query.name),
        ("namespace = ?", query.namespace),
        ("created_at >= ?", query.since),
        ("created_at < ?", query.until),
        ("ended_at < ?", query.ended_before),
        ("closed = ?", query.closed),
        ("digest = ?", query.digest),
    ]
    held = [(text, value) for text, value in table if value is not None]
    held += [(database.holds_label, clean(to_json({key: value})[1:-1])) for key, value in query.labels.items()]
    texts, values = [text for text, _ in held], [value for _, value in held]
    if query.phases:
        texts.append(f"phase IN ({', '.join('?' * len(query.phases))})")
        values += query.phases
        if "Succeeded" not in query.phases:
            texts.append("phase <> 'Succeeded'")  # follows from the above, and an index is found by it (`runs_other`)
    if query.namespaces is not None:
        texts.append(database.holds_namespace)  # any number of them
        values.append(database.list_value(query.namespaces))
    if query.prefix:
        texts.append("run_id >= ? AND run_id < ?")
        values += (query.prefix, f"{query.prefix}\U0010ffff")
    if query.text:
        texts.append(database.holds_text)
        values.append(clean(lower_ascii(query.text)))
    if query.retries:
        texts.append("retry_of IS NOT NULL")
    if query.asleep:
        texts.append("closed = 0 AND wake_at IS NOT NULL")
    if query.before is not None:
        texts.append("(created_at, run_id) < (?, ?)")
        values += query.before
    return f"WHERE {' AND '.join(texts)}" if texts else "", values


# --- plans, headers and steps as text ---

_PLANS_KNOWN: Final = 8
_KEEP_PLAN: Final = "INSERT INTO plans (digest, text) VALUES (?, ?) ON CONFLICT (digest) DO NOTHING RETURNING number"


class _KnownPlans:
    """The plans that were written or read lately, by the digest of their text.

    To read one of 20 000 tasks takes half a second, and holds up every thread for much of it. All stores of the process share
    them, so that one that is opened to read apart has the plan that an engine drives.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._plans: dict[str, Plan] = {}  # oldest first
        self._digests: dict[int, str] = {}  # by identity, of these

    def digest_of(self, plan: Plan) -> str | None:
        return self._digests.get(id(plan))

    def find(self, digest: str) -> Plan | None:
        return self._plans.get(digest)

    def keep(self, digest: str, plan: Plan) -> None:
        with self._lock:
            before = self._plans.pop(digest, None)
            if before is None and len(self._plans) >= _PLANS_KNOWN:
                before = self._plans.pop(next(iter(self._plans)))
            if before is not None:
                self._digests.pop(id(before), None)
            self._plans[digest] = plan
            self._digests[id(plan)] = digest


_plans: Final = _KnownPlans()


class RecordCodec:
    """Writes and reads plans, headers and steps; `path` names the store in errors.

    Made with the first run that is written or opened: listing runs needs none of the codecs, and does not wait for them.
    """

    def __init__(self, path: str) -> None:
        from aether_protocol.plan.codec import decode_plan, encode_plan
        from aether_protocol.scheduler.codec import decode_header, encode_entries, encode_header

        self._decode_plan, self._encode_plan = decode_plan, encode_plan
        self._decode_header, self._encode_header = decode_header, encode_header
        self._encode_entries = encode_entries
        self._path = path

    def header(self, header: RunHeader) -> str:
        """Write a header."""
        return self._encode_header(header)

    def steps(self, steps: Sequence[LogEntry]) -> str:
        """Write a line for each."""
        return self._encode_entries(steps)

    def keep_plan(self, plan: Plan, for_key: str) -> Work[int]:
        """Find the row of `plan`, which must stay (`SqlDatabase.for_key`), or make it where there is none with its digest; its
        number."""
        text, digest = "", _plans.digest_of(plan)
        if digest is None:
            text = self._encode_plan(plan)
            digest = sha256(text.encode()).hexdigest()
            _plans.keep(digest, plan)
        asked = f"SELECT number FROM plans WHERE digest = ?{for_key}"
        found = yield from fetch_one(asked, (digest,))
        if found is None:
            values = (digest, text or self._encode_plan(plan))
            found = yield from fetch_one(_KEEP_PLAN, values)
        if found is None:  # another was first, just now
            found = yield from fetch_one(asked, (digest,))
        assert found is not None
        number: int = found[0]
        return number

    def read_plan(self, found: Sequence[Any] | None, whose: str) -> Plan:
        """Read the plan of `whose` from digest and text. Raises PortError where it is missing or does not fit its digest."""
        digest, text = found or ("", None)
        if text is not None and (not isinstance(text, str) or sha256(text.encode()).hexdigest() != digest):
            raise damaged(f"the plan of {whose}")
        plan = _plans.find(digest) if text is not None else None
        if plan is None:
            try:
                plan = self._decode_plan(text or "")
            except AetherError as error:
                raise self._unreadable(whose, error) from error
            _plans.keep(digest, plan)
        return plan

    def read_header(self, text: str | None, whose: str) -> RunHeader:
        """Read the header of `whose`. Raises PortError like `read_plan`."""
        try:
            return self._decode_header(text or "")
        except AetherError as error:
            raise self._unreadable(whose, error) from error

    def _unreadable(self, whose: str, error: AetherError) -> PortError:
        hint = error.hint or "`aether db check` reports more"
        return PortError(f"{whose} cannot be read from {self._path!r}: {error.message}", hint=hint)
