"""Which rules of the protocol are shown by a case or a test (`aether test --coverage-of-rules`).

Law: a rule counts as covered if a case names it in `rules`, or a test function or class in a test file is decorated with
`@pytest.mark.rule("ID")`, or `pytestmark` sets that mark. Test files are parsed, never imported.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from pathlib import Path

from msgspec import Struct

from aether_protocol.testing.cases.fields import near
from aether_protocol.testing.cases.model import Case, CaseFault
from aether_protocol.testing.cases.rules import RULES, is_own


class RuleRow(Struct, frozen=True):
    """One rule: how many cases and tests name it."""

    rule: str
    title: str
    cases: int
    tests: int

    @property
    def covered(self) -> bool:
        return self.cases + self.tests > 0


class RuleCoverage(Struct, frozen=True):
    """The table, and marks that name no rule."""

    rows: tuple[RuleRow, ...]
    faults: tuple[CaseFault, ...]

    @property
    def missing(self) -> tuple[str, ...]:
        """Rules of this version that nothing shows."""
        return tuple(row.rule for row in self.rows if not row.covered)

    @property
    def complete(self) -> bool:
        return not self.missing and not self.faults


def rule_coverage(cases: Sequence[Case], test_folders: Iterable[Path]) -> RuleCoverage:
    """The table over `cases` and the Python test files (`test_*.py`, `*_test.py`) under `test_folders`.

    A case with faults shows nothing.
    """
    by_case: dict[str, int] = dict.fromkeys(RULES, 0)
    for case in cases:
        if not case.faults:
            for rule in set(case.rules):
                by_case[rule] += 1
    by_test: dict[str, int] = dict.fromkeys(RULES, 0)
    faults: list[CaseFault] = []
    for file in _test_files(test_folders):
        for rule, line in _marks(file):
            if rule in by_test:
                by_test[rule] += 1
            elif not is_own(rule):
                faults.append(CaseFault(str(file), line, f"{rule!r} is not a rule", near(rule, RULES)))
    rows = (RuleRow(rule, RULES[rule], by_case[rule], by_test[rule]) for rule in RULES)
    return RuleCoverage(tuple(rows), tuple(faults))


def coverage_text(coverage: RuleCoverage) -> str:
    """The table as text, with a verdict in the last line."""
    lines = [f"{'rule':<10}{'cases':>6}{'tests':>6}  title"]
    for row in coverage.rows:
        mark = "" if row.covered else "  <- not covered"
        lines.append(f"{row.rule:<10}{row.cases:>6}{row.tests:>6}  {row.title}{mark}")
    lines += [str(fault) for fault in coverage.faults]
    done, asked = sum(row.covered for row in coverage.rows), len(coverage.rows)
    percent = 100 * done // asked
    missing = f"; missing: {', '.join(coverage.missing)}" if coverage.missing else ""
    lines.append(f"{done} of {asked} rules covered ({percent} %){missing}")
    return "\n".join(lines)


def _test_files(folders: Iterable[Path]) -> list[Path]:
    found = {
        path
        for folder in folders
        for path in ([folder] if folder.is_file() else folder.rglob("*.py"))
        if path.name.startswith("test_") or path.stem.endswith("_test")
    }
    return sorted(found)


def _marks(file: Path) -> Iterable[tuple[str, int]]:
    """Rule IDs in `pytest.mark.rule(...)` with their lines. A file that does not parse has none: pytest complains."""
    try:
        tree = ast.parse(file.read_bytes(), str(file))
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            marks: list[ast.expr] = node.decorator_list
        elif isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["pytestmark"]:
            marks = node.value.elts if isinstance(node.value, ast.List | ast.Tuple) else [node.value]
        else:
            continue
        for mark in marks:
            if isinstance(mark, ast.Call) and ast.unparse(mark.func) in ("pytest.mark.rule", "mark.rule"):
                for argument in mark.args:
                    if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                        yield argument.value, argument.lineno
