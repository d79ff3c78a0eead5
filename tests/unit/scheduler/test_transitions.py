"""The phase table is closed and says of each phase what the protocol says."""

from __future__ import annotations

import pytest

from aether_protocol.scheduler.transitions import CODE_PHASES, TERMINAL, TRANSITIONS, Phase


@pytest.mark.rule("SCHED-7")
def test_codes_have_the_phases_of_the_protocol() -> None:
    assert {code: str(phase) for code, phase in CODE_PHASES.items()} == {
        0: "Succeeded", 1: "Suspended", 2: "Failed", 3: "Error", 4: "Timeout",
    }  # fmt: skip


def test_every_phase_has_a_row_and_terminal_ones_have_no_way_out() -> None:
    assert set(TRANSITIONS) == set(Phase)
    assert {phase for phase, ways in TRANSITIONS.items() if not ways} == TERMINAL


def test_every_phase_can_be_reached_and_every_phase_can_end() -> None:
    reached, todo = set(), [Phase.CREATED]
    while todo:
        phase = todo.pop()
        if phase not in reached:
            reached.add(phase)
            todo.extend(TRANSITIONS[phase])
    assert reached == set(Phase)
    assert all(TERMINAL & set(ways) for ways in TRANSITIONS.values() if ways)
