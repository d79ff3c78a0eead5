"""Case files to cases: bytes are read by the documents' own reader, fields are checked by the grammar.

Law: nothing is raised for a bad case file: each complaint is a fault with file and line, and a case with faults is kept,
so that it is counted as an error instead of being lost.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Iterable, Iterator
from pathlib import Path as FilePath
from typing import Final

from msgspec.structs import replace

from aether_protocol.documents.parse import parse
from aether_protocol.documents.source import DEFAULT, Source
from aether_protocol.documents.tree import DocumentTree
from aether_protocol.expressions.durations import parse_duration
from aether_protocol.expressions.values import Json
from aether_protocol.ports.store import MEMORY, STATE_ACTION_LOG
from aether_protocol.testing.cases.fields import Reading, parse_instant
from aether_protocol.testing.cases.grammar import CASE, DOCUMENT_FIELDS
from aether_protocol.testing.cases.model import (
    Action,
    Case,
    CaseFault,
    DocumentSource,
    Drive,
    Locate,
    Match,
    Path,
    Script,
    ScriptedAttempt,
    SpecChange,
    Watching,
)
from aether_protocol.testing.clock import DEFAULT_START_US

SUFFIXES = (".cases.yaml", ".case.yaml", ".cases.yml", ".case.yml")
_FOREIGN: Final = frozenset({"node_modules", "__pycache__", "venv"})
ACTIONS: Final[tuple[Action, ...]] = ("resume", "cancel", "crash", "duplicate", "result", "retry")
OF_SCHEDULES: Final = frozenset({"fires", "runs", "skips"})
_VALIDATION = frozenset({"valid", "diagnostics"})


def find_files(paths: Iterable[FilePath]) -> list[FilePath]:
    """The case files that `paths` stand for: a file is itself, a folder all YAML files in it that hold cases.

    In a folder those are `cases.yaml`, `*.cases.yaml` and `*.case.yaml`, and every YAML file whose first line that says
    something begins with `case:`. Hidden folders are left out.
    """
    found: list[FilePath] = []
    for path in paths:
        if path.is_dir():
            found.extend(p for p in sorted(_yaml_files(path)) if is_named_case_file(p) or looks_like_cases(p))
        else:
            found.append(path)
    return list(dict.fromkeys(found))


def _yaml_files(folder: FilePath) -> Iterator[FilePath]:
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".") and name not in _FOREIGN]
        yield from (FilePath(root, name) for name in names if name.endswith((".yaml", ".yml")))


def is_named_case_file(path: FilePath) -> bool:
    """Whether the name alone says that this is a case file."""
    return path.name in ("cases.yaml", "cases.yml") or path.name.endswith(SUFFIXES)


def looks_like_cases(path: FilePath) -> bool:
    """Whether the first line with something on it begins a case."""
    try:
        with path.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                text = line.strip()
                if text and not text.startswith("#") and text != "---":
                    return text.startswith("case:")
    except OSError:
        return False
    return False


def read_files(paths: Iterable[FilePath]) -> list[Case]:
    """All cases of these files; a name that was used before is a fault of the later case."""
    cases: list[Case] = []
    names: dict[str, Case] = {}
    for path in paths:
        for case in read_file(path):
            first = names.setdefault(case.name, case)
            if first is not case and case.document is not None:
                told = case.fault(("case",), f"the name {case.name!r} is taken by {first.file}:{first.line}")
                case = replace(case, faults=(*case.faults, told))
            cases.append(case)
    return cases


def read_file(path: FilePath) -> list[Case]:
    """The cases of one file, never raising for what is in it."""
    file = str(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        return [_broken(file, [CaseFault(file, 1, f"cannot be read: {error.strerror or error}")])]
    return read_text(data, file)


def read_text(data: bytes, file: str) -> list[Case]:
    """The cases in the text of a case file named `file`, against whose folder its paths are resolved."""
    source, trees = parse(data, file, DEFAULT)
    cases = [_read_case(source, tree) for tree in trees]
    faults = [CaseFault(file, found.line, found.message, found.hint) for found in source.faults]
    return [_broken(file, faults), *cases] if faults else cases


def _broken(file: str, faults: list[CaseFault]) -> Case:
    """What stands for a file that cannot be read (completely)."""
    line = min(fault.line for fault in faults)
    return Case(name=file, file=file, locate=lambda path: (line, 1), faults=tuple(faults))


def _read_case(source: Source, tree: DocumentTree) -> Case:
    def locate(path: Path) -> tuple[int, int]:
        return source.position(tree.find(path))

    raw = tree.root
    reading = Reading(source.file, locate)
    name = raw.get("case") if isinstance(raw, dict) else None
    line, _ = locate(())
    title = name if isinstance(name, str) and name.strip() else f"{source.file}:{line}"
    if tree.faulty:
        reading.fault((), "the case was not read completely")
    elif isinstance(raw, dict) and "apiVersion" in raw and "case" not in raw:
        hint = f"'aether validate {source.file}' checks it; a case names its document in `document` or `documentFile`"
        reading.fault((), "this is a document, not a case", hint)
    else:
        CASE(reading, raw, ())
    if not reading.faults:
        _cross_check(reading, raw)
    if reading.faults:
        return Case(name=title, file=source.file, locate=locate, faults=tuple(reading.faults))
    case = _build(title, raw, source, tree, locate)
    bad = [found for part in (case.document, *case.library) if (found := _unreadable(case, part)) is not None]
    return replace(case, faults=tuple(bad)) if bad else case


def _cross_check(reading: Reading, raw: Json) -> None:
    """What spans several fields. The fields themselves are fine."""
    expect = raw["expect"]
    runs = sorted(set(expect) - _VALIDATION - {"hidden"})
    if expect.get("valid") is False and (runs or raw.get("drive")):
        what = f"expect.{runs[0]}" if runs else "drive"
        reading.fault(("expect", "valid"), f"nothing runs where valid is false, so {what} asserts nothing")
    _check_cron(reading, raw)
    for index, script in enumerate(raw.get("executors", [])):
        for number, attempt in enumerate(script["attempts"]):
            _check_attempt(reading, attempt, ("executors", index, "attempts", number))
    for index, entry in enumerate(raw.get("drive", [])):
        if "refused" in entry and not {"resume", "cancel", "retry"} & set(entry):
            path = ("drive", index, "refused")
            reading.fault(path, "only resume, cancel and retry can be refused", "late and unknown results change nothing")
        if "crash" in entry and raw.get("store", MEMORY) == MEMORY:
            told = "a run in store 'memory' does not outlive its engine"
            reading.fault(("drive", index, "crash"), told, "use 'state-action-log' or 'snapshot'")


def _check_cron(reading: Reading, raw: Json) -> None:
    """A case watches one run, or one schedule."""
    expect = raw["expect"]
    if "cron" not in raw:
        for name in sorted(OF_SCHEDULES & set(expect)):
            reading.fault(("expect", name), f"expect.{name} asserts nothing: the case watches no schedule", "give cron.until")
        return
    for name in sorted(set(expect) - _VALIDATION - OF_SCHEDULES - {"hidden"}):
        known = ", ".join(sorted(OF_SCHEDULES))
        reading.fault(("expect", name), f"expect.{name} is about one run, but cron watches a schedule", f"use {known}")
    if raw.get("store") == MEMORY:
        told = "a schedule in store 'memory' does not outlive its scheduler"
        reading.fault(("store",), told, "use 'state-action-log' (the default here) or 'snapshot'")
    for name in ("drive", "arguments"):
        if name in raw:
            reading.fault((name,), f"{name} is for one run, but cron watches a schedule")
    for index, entry in enumerate(raw["cron"].get("downtime", [])):
        if parse_duration(entry["from"], zero=True) >= parse_duration(entry["to"], zero=True):
            reading.fault(("cron", "downtime", index), f"downtime ends at {entry['to']}, which is not after {entry['from']}")


def _check_attempt(reading: Reading, attempt: Json, path: Path) -> None:
    """Of the ways in which an attempt can go on, one; what could not matter is refused."""
    for way, allowed in (("hang", {"after"}), ("raise", {"after"}), ("suspend", {"after", "message", "outputs"})):
        useless = sorted(set(attempt) - allowed - {way}) if way in attempt else []
        if useless:
            reading.fault((*path, useless[0]), f"{useless[0]!r} has no effect beside {way!r}")
            return


def _build(name: str, raw: Json, source: Source, tree: DocumentTree, locate: Locate) -> Case:
    library = tuple(
        DocumentSource(path, file=entry)
        if isinstance(entry, str)
        else DocumentSource(path, inline=_subtree(source, tree, entry, path))
        for entry, path in ((entry, ("library", index)) for index, entry in enumerate(raw.get("library", [])))
    )
    return Case(
        name=name,
        file=source.file,
        locate=locate,
        rules=tuple(raw.get("rules", ())),
        document=_document(raw, source, tree),
        library=library,
        arguments=raw.get("arguments", {}),
        secrets=raw.get("secrets", {}),
        variables=raw.get("variables", {}),
        limits=raw.get("limits", {}),
        concurrency=raw.get("concurrency"),
        store=raw.get("store", STATE_ACTION_LOG if "cron" in raw else MEMORY),
        now_us=parse_instant(raw["now"]) if "now" in raw else DEFAULT_START_US,
        scripts=tuple(_script(entry, ("executors", i)) for i, entry in enumerate(raw.get("executors", []))),
        drive=_drive(raw.get("drive", [])),
        cron=_watching(raw["cron"]) if "cron" in raw else None,
        expect=raw["expect"],
    )


def _subtree(source: Source, tree: DocumentTree, root: Json, path: Path) -> tuple[Source, DocumentTree]:
    """An inline document: a part of the case file's tree, whose lines count in the case file."""
    return Source(source.file, source.text), DocumentTree(root, tree.find(path), tree.marks, plain=tree.plain, spelt=tree.spelt)


def _document(raw: Json, source: Source, tree: DocumentTree) -> DocumentSource:
    field = next(name for name in DOCUMENT_FIELDS if name in raw)
    value = raw[field]
    path = (field,)
    if field == "document":
        return DocumentSource(path, inline=_subtree(source, tree, value, path))
    if field == "documentFile":
        return DocumentSource(path, file=value)
    if field == "documentText":
        return DocumentSource(path, data=value.encode())
    try:
        return DocumentSource(path, data=base64.b64decode("".join(value.split()), validate=True))
    except binascii.Error:
        return DocumentSource(path)


def _unreadable(case: Case, part: DocumentSource | None) -> CaseFault | None:
    """Why the bytes of a document cannot be had; what is in them is for the runner to judge."""
    if part is None or part.inline is not None or part.data is not None:
        return None
    if part.file is None:
        return case.fault(part.path, "documentBase64 is not base64")
    if not (FilePath(case.file).parent / part.file).is_file():
        return case.fault(part.path, f"there is no file {part.file!r}", "paths are relative to the case file")
    return None


def _script(entry: Json, path: Path) -> Script:
    return Script(Match(**entry["match"]), tuple(_attempt(attempt) for attempt in entry["attempts"]), path)


def _attempt(raw: Json) -> ScriptedAttempt:
    return ScriptedAttempt(
        code=1 if raw.get("suspend") else raw.get("code", 0),
        message=raw.get("message", ""),
        outputs=raw.get("outputs", {}),
        files=raw.get("files", {}),
        after_us=parse_duration(raw["after"], zero=True) if "after" in raw else 0,
        hang=bool(raw.get("hang")),
        raises=raw.get("raise"),
    )


def _watching(raw: Json) -> Watching:
    downtime = [tuple(parse_duration(entry[edge], zero=True) for edge in ("from", "to")) for entry in raw.get("downtime", [])]
    changes = [
        SpecChange(parse_duration(entry["at"], zero=True), entry["set"], entry.get("refused"), ("cron", "changes", index))
        for index, entry in enumerate(raw.get("changes", []))
    ]
    changes.sort(key=lambda change: change.at_us)
    times = sorted((first, last) for first, last in downtime)
    return Watching(parse_duration(raw["until"], zero=True), tuple(times), raw.get("schedulers", 1), tuple(changes))


def _drive(entries: list[Json]) -> tuple[Drive, ...]:
    """In the order of time; those of one instant in the order of the file."""
    drives = []
    for index, entry in enumerate(entries):
        action = next(name for name in ACTIONS if name in entry)
        at_us = parse_duration(entry["at"], zero=True)
        drives.append(Drive(at_us, action, entry[action], entry.get("refused"), ("drive", index)))
    return tuple(sorted(drives, key=lambda drive: drive.at_us))
