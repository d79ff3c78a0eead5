"""What is written fast is written as `json.dumps` would."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from aether_protocol.cli.render.pretty import pretty

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=40,
)


@given(JSON)
def test_any_value_is_written_as_by_the_standard_library(value: Any) -> None:
    assert pretty(value) == json.dumps(value, indent=2, ensure_ascii=False)


def test_what_a_report_looks_like() -> None:
    task = {"id": "a/main", "inputs": {}, "retries": 0, "finishedAt": None}
    report = {"tasks": [task, {**task, "outputs": {"x": [1, {"y": []}], "t": "line\n\u2028 ü"}}], "hooks": [], "notRun": ["b"]}
    assert pretty(report) == json.dumps(report, indent=2, ensure_ascii=False)
