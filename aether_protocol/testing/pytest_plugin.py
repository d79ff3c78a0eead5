"""Case files as pytest tests: `cases.yaml`, `*.cases.yaml`, `*.case.yaml`, and below the folders in `aether_cases` all
YAML but the documents that cases refer to.

Law: pytest loads this file in every environment that has Aether Protocol installed, so it imports nothing of the package
before a case file is found, and touches no other file.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from aether_protocol.testing.cases.model import Case, CaseResult

_YAML = (".yaml", ".yml")
_NAMED = (".cases.yaml", ".case.yaml", ".cases.yml", ".case.yml")
_NAMES: pytest.StashKey[dict[str, str]] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini("aether_cases", "folders in which every YAML file holds aether/v1 cases", type="paths", default=[])


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "rule(*ids): the aether/v1 protocol rules that this test covers")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    if file_path.suffix not in _YAML or not _is_case_file(file_path, parent.config):
        return None
    collected: pytest.Collector = CaseFile.from_parent(parent, path=file_path)
    return collected


def _is_case_file(path: Path, config: pytest.Config) -> bool:
    if path.name in ("cases.yaml", "cases.yml") or path.name.endswith(_NAMED):
        return True
    return any(path.is_relative_to(folder) for folder in config.getini("aether_cases")) and not _is_document(path)


def _is_document(path: Path) -> bool:
    """Whether the first line that says something begins a document. A misspelt case is none, so it is not passed over."""
    with path.open(encoding="utf-8", errors="replace") as lines:
        said = (text for line in lines if (text := line.strip()) and not text.startswith("#") and text != "---")
        return next(said, "").startswith("apiVersion:")


class CaseFile(pytest.File):
    """One case file."""

    def collect(self) -> Iterator[pytest.Item]:
        from aether_protocol.testing.cases.read import read_file

        taken = self.config.stash.setdefault(_NAMES, {})
        for case in read_file(self.path):
            first = taken.setdefault(case.name, f"{case.file}:{case.line}")
            yield CaseItem.from_parent(self, name=case.name, case=case, first=first)


class CaseItem(pytest.Item):
    """One case. `first`: where its name was used first in this session."""

    def __init__(self, *, case: Case, first: str, **more: Any) -> None:
        super().__init__(**more)
        self.case = case
        self._first = first
        for rule in case.rules:
            self.add_marker(pytest.mark.rule(rule))

    def runtest(self) -> None:
        from aether_protocol.testing.cases.run import run_case

        here = f"{self.case.file}:{self.case.line}"
        if self._first != here:
            raise CaseNotPassedError(None, f"{here}: the name {self.case.name!r} is taken by {self._first}")
        result = run_case(self.case)
        if result.outcome != "passed":
            raise CaseNotPassedError(result)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        if isinstance(excinfo.value, CaseNotPassedError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, self.case.line - 1, self.case.name


class CaseNotPassedError(Exception):
    """A case failed or is faulty; the text says all about it."""

    def __init__(self, result: CaseResult | None, text: str = "") -> None:
        if result is not None:
            from aether_protocol.testing.cases.reports import explain

            text = explain(result)
        super().__init__(text)
