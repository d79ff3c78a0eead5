"""Log entries and run headers as records: one line of JSON each, versioned, compact, exact (plan.records has the theory).

Law: `decode_entry(encode_entry(entry))` is `entry` without its commands, which follow from the state. A fact is an array: its
kind, then its fields in their order. New fields are appended with a default, and a kind or field never changes its meaning.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, get_args

import msgspec
from msgspec import Struct

from aether_protocol.errors import PortError
from aether_protocol.plan.records import VERSION, SecretInRecordError, decode, encode, encode_lines, escape, unescape
from aether_protocol.scheduler.commands import LogEntry
from aether_protocol.scheduler.events import RunHeader
from aether_protocol.scheduler.facts import Fact

_KINDS: Final = frozenset(kind.__name__ for kind in get_args(Fact))


class _EntryRecord(Struct, array_like=True, gc=False):
    """A log entry: its version, number, instant, cause and facts; whether these are escaped."""

    version: Literal[2]
    seq: int
    at: int
    cause: str
    facts: list[Fact]
    escaped: bool = False


class _HeaderRecord(Struct, array_like=True, gc=False):
    version: Literal[2]
    header: RunHeader
    escaped: bool = False


def encode_entry(entry: LogEntry) -> str:
    """Write a log entry as one line, without its commands. Facts that hold a secret are written escaped."""
    try:
        return encode((VERSION, entry.seq, entry.at, entry.cause, entry.facts))
    except SecretInRecordError:
        return encode((VERSION, entry.seq, entry.at, entry.cause, escape(entry.facts), True))


def encode_entries(entries: Sequence[LogEntry]) -> str:
    """Write log entries as lines, each as `encode_entry` does; there is at least one."""
    if len(entries) > 1:
        try:
            return encode_lines([(VERSION, entry.seq, entry.at, entry.cause, entry.facts) for entry in entries])
        except (SecretInRecordError, UnicodeEncodeError):  # in one of them: the others are written as ever
            pass
    return "\n".join([encode_entry(entry) for entry in entries])


def decode_entry(line: str) -> LogEntry:
    """Read a log entry; it has no commands. Raises PortError."""
    try:
        record = decode(_EntryRecord, line)
    except PortError as error:
        raise _unknown_fact(line) or error from error
    facts = unescape(record.facts) if record.escaped else record.facts
    return LogEntry(record.seq, record.at, record.cause, facts, [])


def _unknown_fact(line: str) -> PortError | None:
    """What is raised where nothing but the kind of a fact is new."""
    try:
        version, _, _, _, facts, *_ = msgspec.json.decode(line)
        unknown = next((fact[0] for fact in facts if fact[0] not in _KINDS), None)
    except (msgspec.MsgspecError, RecursionError, ValueError, TypeError, LookupError):
        return None
    if unknown is None or version != VERSION:
        return None
    return PortError(f"a record holds the unknown fact {unknown!r}", hint="it was written by a newer version, or is damaged")


def encode_header(header: RunHeader) -> str:
    """Write a run's header."""
    try:
        return encode((VERSION, header))
    except SecretInRecordError:
        return encode((VERSION, escape(header), True))


def decode_header(text: str) -> RunHeader:
    """Read a run's header. Raises PortError."""
    record = decode(_HeaderRecord, text)
    return unescape(record.header) if record.escaped else record.header
