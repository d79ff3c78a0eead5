"""Results as text for people, as JSON, and as JUnit XML for CI.

Law: all show the same facts: every fault of a case with its file and line, and what its run did.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from typing import Final
from xml.etree import ElementTree

from aether_protocol.testing.cases.model import CaseResult

_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def summary(results: Sequence[CaseResult]) -> str:
    """`3 passed, 1 failed, 2 errors in 0.05s`."""
    counts = Counter(result.outcome for result in results)
    parts = [f"{counts['passed']} passed"]
    if counts["failed"]:
        parts.append(f"{counts['failed']} failed")
    if counts["error"]:
        parts.append(f"{counts['error']} error{'s' if counts['error'] > 1 else ''}")
    return f"{', '.join(parts)} in {sum(result.seconds for result in results):.2f}s"


def explain(result: CaseResult) -> str:
    """All that is to be said about a case that did not pass."""
    case = result.case
    lines = [f"{result.outcome.upper()} {case.file}:{case.line}: {case.name}"]
    lines += [f"  {fault}" for fault in result.faults]
    if result.detail:
        lines += ["", *(f"  {line}".rstrip() for line in result.detail.splitlines()), ""]
    return "\n".join(lines)


def text(results: Sequence[CaseResult]) -> str:
    """Every case that did not pass, then the counts."""
    return "\n".join([*(explain(result) for result in results if result.outcome != "passed"), summary(results)])


def as_json(results: Sequence[CaseResult]) -> str:
    """The object of `aether test -o json`: the counts, and every case with its faults."""
    counts = Counter(result.outcome for result in results)
    cases = [
        {
            "name": result.case.name,
            "file": result.case.file,
            "line": result.case.line,
            "rules": list(result.case.rules),
            "outcome": result.outcome,
            "seconds": round(result.seconds, 6),
            "faults": [str(fault) for fault in result.faults],
            "detail": result.detail or None,
        }
        for result in results
    ]
    totals = {name: counts[name] for name in ("passed", "failed", "error")}
    return json.dumps({**totals, "cases": cases}, indent=2, ensure_ascii=False)


def junit_xml(results: Sequence[CaseResult], suite: str = "aether") -> str:
    """JUnit's XML as CI servers read it: one testcase a case, `failure` for failed and `error` for faulty ones."""
    counts = Counter(result.outcome for result in results)
    root = ElementTree.Element("testsuites")
    inner = ElementTree.SubElement(
        root,
        "testsuite",
        name=suite,
        tests=str(len(results)),
        failures=str(counts["failed"]),
        errors=str(counts["error"]),
        skipped="0",
        time=f"{sum(result.seconds for result in results):.6f}",
    )
    for result in results:
        case = result.case
        entry = ElementTree.SubElement(
            inner,
            "testcase",
            name=_clean(case.name),
            classname=_clean(case.file),
            file=_clean(case.file),
            line=str(case.line),
            time=f"{result.seconds:.6f}",
        )
        if result.outcome != "passed":
            tag = "failure" if result.outcome == "failed" else "error"
            first = _clean(str(result.faults[0])) if result.faults else result.outcome
            ElementTree.SubElement(entry, tag, message=first).text = _clean(explain(result))
    ElementTree.indent(root)
    body = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{body}\n'


def _clean(text: str) -> str:
    """XML 1.0 has no place for most control characters."""
    return _NOT_XML.sub("\ufffd", text)
