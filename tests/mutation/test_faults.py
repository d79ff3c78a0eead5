"""The faults of the mutation check still fit the package (that each is detected is checked by `python -m tests.mutation`)."""

from __future__ import annotations

from tests.mutation.__main__ import problems


def test_each_fault_fits_its_file_and_no_rule_is_without_one() -> None:
    assert problems() == []
