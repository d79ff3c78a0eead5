"""Hand-written faults, each of which breaks one promise of the protocol: the conformance cases must notice every one.

Law: a fault replaces a text that stands exactly once in one file of the package. It says in one sentence what a user would
then get. A fault that no case notices is a missing case, never a fault to be taken out.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """`file` is relative to the package. `old` becomes `new`. `rule` is what the fault breaks. `tests` notice it where cases
    or seeds cannot show it (another guard stands before it, or it takes more): a file of tests."""

    rule: str
    title: str
    file: str
    old: str
    new: str
    tests: str = ""


RULES = (
    *(f"DATA-{number}" for number in range(1, 15)),
    *(f"SCHED-{number}" for number in range(1, 13)),
    *(f"LOOP-{number}" for number in range(1, 8)),
    *(f"CTRL-{number}" for number in range(1, 4)),
    *(f"HOOK-{number}" for number in range(1, 4)),
    *(f"TMPL-{number}" for number in range(1, 3)),
)
"""The rules that must have a fault."""
