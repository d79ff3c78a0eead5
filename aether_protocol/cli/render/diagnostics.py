"""Diagnostics as text, JSON, GitHub annotations and SARIF.

Law: every format shows the same findings with the same facts; none drops a position, a path or a hint.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import click

from aether_protocol.cli.terminal import messages
from aether_protocol.diagnostics import CODES, Diagnostic
from aether_protocol.expressions.values import Json
from aether_protocol.views.text import cells, counted, printable

Sources = Mapping[str, bytes]  # what was read, by the file name in the diagnostics

CLIP = 96  # characters of a source line shown
COLORS = {"error": "red", "warning": "yellow"}
SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def show_diagnostics(diagnostics: Sequence[Diagnostic], sources: Sources | None = None, err: bool = True) -> None:
    """As a compiler shows them: the place, the fault, the line with a caret, the advice."""
    lines = _Lines(sources or {})
    for diagnostic in diagnostics:
        click.echo(place(diagnostic), nl=False, err=err)
        label = f"{diagnostic.severity} {diagnostic.code}"
        click.secho(label, fg=COLORS[diagnostic.severity], bold=True, nl=False, err=err)
        click.echo(f": {printable(diagnostic.message)}", err=err)
        excerpt = lines.excerpt(diagnostic)
        if excerpt is not None:
            number = str(diagnostic.line)
            gutter = " " * (len(number) + 2)
            click.echo(f"  {number} | {excerpt[0]}", err=err)
            click.echo(f"{gutter} | ", nl=False, err=err)
            click.secho(excerpt[1], fg=COLORS[diagnostic.severity], bold=True, err=err)
        if diagnostic.path:
            click.echo(f"   at: {printable(diagnostic.path)}", err=err)
        if diagnostic.hint:
            click.echo(f" hint: {printable(diagnostic.hint)}", err=err)


def show_warnings(warnings: Sequence[Diagnostic], sources: Sources) -> None:
    """What is not in order about documents that are used, and how much of it there is, on standard error."""
    show_diagnostics(warnings, sources)
    if warnings:
        messages.note(summary(warnings, len({one.file for one in warnings})))


def place(diagnostic: Diagnostic) -> str:
    """`file:line:column: `, as far as it is known."""
    position = f"{diagnostic.line}:{diagnostic.column}:" if diagnostic.line else ""
    return printable(f"{diagnostic.file}:{position} ")


def summary(diagnostics: Sequence[Diagnostic], files: int) -> str:
    """`2 errors, 1 warning in 3 files`."""
    errors = sum(d.severity == "error" for d in diagnostics)
    warnings = len(diagnostics) - errors
    return f"{counted(errors, 'error')}, {counted(warnings, 'warning')} in {counted(files, 'file')}"


class _Lines:
    """The lines of the sources, split once per file."""

    def __init__(self, sources: Sources) -> None:
        self.sources = sources
        self.split: dict[str, list[str]] = {}

    def excerpt(self, diagnostic: Diagnostic) -> tuple[str, str] | None:
        """The source line and the line with the caret under it; None where there is none to show."""
        lines = self._of(diagnostic.file)
        if not 0 < diagnostic.line <= len(lines):
            return None
        line, column = lines[diagnostic.line - 1].rstrip("\r"), max(diagnostic.column, 1) - 1
        start = max(0, column - CLIP // 2) if len(line) > CLIP else 0
        before = printable(line[start:column]).replace("\t", "    ")
        after = printable(line[column : start + CLIP]).replace("\t", "    ")
        left = "…" if start else ""
        right = "…" if start + CLIP < len(line) else ""
        return f"{left}{before}{after}{right}", " " * (len(left) + cells(before)) + "^"

    def _of(self, file: str) -> list[str]:
        if file not in self.split:
            self.split[file] = self._read(file).decode("utf-8-sig", "replace").split("\n")
        return self.split[file]

    def _read(self, file: str) -> bytes:
        if file in self.sources:
            return self.sources[file]
        try:
            return Path(file).read_bytes()
        except (OSError, ValueError):
            return b""


def as_json(diagnostics: Sequence[Diagnostic]) -> str:
    """The object of `aether validate -o json`."""
    valid = all(d.severity != "error" for d in diagnostics)
    return json.dumps({"valid": valid, "diagnostics": [d.to_json() for d in diagnostics]}, indent=2, ensure_ascii=False)


def as_github(diagnostics: Sequence[Diagnostic]) -> str:
    """Workflow commands, which a CI shows beside the line that they are about."""

    def escape(text: str, more: str = "") -> str:
        for char in "%\r\n" + more:
            text = text.replace(char, f"%{ord(char):02X}")
        return text

    rows = []
    for d in diagnostics:
        fields = {"file": d.file, "title": f"{d.code} {d.path}".strip()}
        if d.line:
            fields |= {"line": str(d.line), "col": str(d.column)}
        properties = ",".join(f"{name}={escape(text, ':,')}" for name, text in fields.items())
        text = d.message if d.hint is None else f"{d.message}\nhint: {d.hint}"
        rows.append(f"::{d.severity} {properties}::{escape(text)}")
    return "\n".join(rows)


def as_sarif(diagnostics: Sequence[Diagnostic]) -> str:
    """SARIF 2.1.0, for code scanning."""
    codes = sorted({d.code for d in diagnostics})
    driver = {"name": "aether", "rules": [_sarif_rule(code) for code in codes]}
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_sarif_result(d, codes.index(d.code)) for d in diagnostics],
    }
    return json.dumps({"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2, ensure_ascii=False)


def _sarif_rule(code: str) -> Json:
    info = CODES[code]
    return {
        "id": code,
        "shortDescription": {"text": info.title},
        "fullDescription": {"text": info.explanation},
        "defaultConfiguration": {"level": info.severity},
    }


def _sarif_result(d: Diagnostic, rule: int) -> Json:
    physical: dict[str, Json] = {"artifactLocation": {"uri": Path(d.file).as_posix()}}
    if d.line:
        physical["region"] = {"startLine": d.line, "startColumn": d.column}
    location: dict[str, Json] = {"physicalLocation": physical}
    if d.path:
        location["logicalLocations"] = [{"fullyQualifiedName": d.path}]
    text = d.message if d.hint is None else f"{d.message} ({d.hint})"
    return {"ruleId": d.code, "ruleIndex": rule, "level": d.severity, "message": {"text": text}, "locations": [location]}


FORMATS: Mapping[str, Callable[[Sequence[Diagnostic]], str]] = {"json": as_json, "github": as_github, "sarif": as_sarif}
