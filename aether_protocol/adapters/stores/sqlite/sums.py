"""Digests of rows: what is read again is what was written, or it is told.

Law: a digest is made of the values as they are stored, in an order of columns that never changes; which columns it covers
stands here and nowhere else. Who drives a run, and when (owners, locks, breaks, `runs.owner`, `runs.token`, `runs.wake_at`), is
not covered: it is no content. A row of an older version has none (NULL); its values must have the right types all the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final

from aether_protocol.errors import PortError

SIZE: Final = 16  # bytes: against accidents, not against who can write the file
HINT: Final = "`aether db check` tells more; restore it from a backup"

# By table: the columns that its `sum` covers, in this order. Of `runs` there are two, `fixed` and `moved`.
COVERED: Final[Mapping[str, str]] = {
    "fixed": "run_id, workflow, namespace, version, labels, created_at, digest, retry_of, tier",
    "moved": "phase, message, started_at, ended_at, closed, seq, leaves_ended, leaves_known",  # and `head`
    "heads": "run, plan, header",
    "snapshots": "run, seq, text",
    "requests": "run, request, given, answer",
    "logs": "id, run, path, node, attempt, stream, text, at",
    "log_bounds": "run, path, dropped, last",  # `size` is that of the lines that are there
    "documents": "kind, namespace, name, text, digest, version, at",
    "schedules": "number, namespace, name, settings, spec, document, applied_at, changed_at, seen, next_at, last_at, "
    "generation, version, plan",
    "fires": "id, schedule, at, kind, noted_at, run_id, reason, count, first, generation",
}
_TEXTS: Final = frozenset(  # columns of texts; the others hold integers
    {"answer", "digest", "document", "header", "kind", "labels", "message", "name", "namespace", "path", "phase", "reason"}
    | {"request", "retry_of", "run_id", "settings", "spec", "stream", "text", "tier", "workflow"}
)
_MAY_LACK: Final = frozenset({"retry_of", "started_at", "ended_at", "answer", "next_at", "last_at", "run_id", "first"})


def _types(table: str, name: str) -> frozenset[type]:
    """What a column may hold. The version of a run is its document's, a text."""
    if (table, name) == ("fixed", "version"):
        return frozenset({str, type(None)})
    lacks = {type(None)} if name in _MAY_LACK and (table, name) != ("fixed", "run_id") else set()
    return frozenset({str if name in _TEXTS else int} | lacks)


_TYPES: Final = {
    table: tuple([_types(table, name) for name in columns.split(", ")]) for table, columns in COVERED.items()
}

_to_json: Final = json.JSONEncoder(separators=(",", ":")).encode


def sum_of(table: str, values: Sequence[Any]) -> bytes:
    """The digest of a row, from the values of the columns in COVERED."""
    return blake2b(f"{table}{_to_json(values)}".encode("ascii"), digest_size=SIZE).digest()


def sum_of_moved(values: Sequence[Any], head: bytes | None) -> bytes:
    """The digest `moved` of a run, which covers `head` as well."""
    return sum_of("moved", (*values, None if head is None else head.hex()))


def next_sum(before: bytes, id_: int, last: int, ended: int | None, lines: str) -> bytes:
    """The digest of a row of steps that follows the one with digest `before`."""
    made = blake2b(before, digest_size=SIZE)
    made.update(b"%d %s " % (id_, f"{last} {ended}".encode("ascii")))
    made.update(lines.encode("utf-8", "surrogateescape"))
    return made.digest()


def has_types(table: str, values: Sequence[Any]) -> bool:
    """Whether values have the types of the columns that they are from."""
    return all(type(value) in types for value, types in zip(values, _TYPES[table], strict=True))


def fits(table: str, values: Sequence[Any], found: Any) -> bool:
    """Whether a row is as it was written, as far as its types and its digest, if it has one, can tell."""
    return has_types(table, values) and (found is None or found == sum_of(table, values))


def require(table: str, values: Sequence[Any], found: Any, what: str) -> None:
    """Raises PortError where a row that was read does not fit its digest; `what` names it."""
    if not fits(table, values, found):
        raise damaged(what)


def damaged(what: str) -> PortError:
    return PortError(f"{what} is damaged in the store: it does not fit its digest", hint=HINT)


def require_moved(values: Sequence[Any], head: Any, found: Any, what: str) -> None:
    """`require` for `runs.moved`, which covers `head` as well."""
    right = has_types("moved", values) and type(head) in (bytes, type(None))
    if not right or (found is not None and found != sum_of_moved(values, head)):
        raise damaged(what)
