"""Documents that were written for other runtimes of aether/v1, where they lie beside this repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from aether_protocol.testing.cases.model import Case
from aether_protocol.testing.cases.read import read_file
from aether_protocol.testing.cases.reports import explain
from aether_protocol.testing.cases.run import run_case

FILE = Path(__file__).resolve().parents[3] / "shared" / "reference-documents" / "cases.yaml"

if FILE.exists():  # else there is nothing to collect
    CASES = read_file(FILE)

    @pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
    def test_a_reference_document_gives_what_it_must(case: Case) -> None:
        result = run_case(case)
        assert result.outcome == "passed", explain(result)
