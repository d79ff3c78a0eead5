"""Runs the conformance cases until one does not pass: the work of one process of the mutation check.

Law: what is judged is the package that stands first on the path, which must be the copy named by the first argument. The
cases that name the rule of the second argument come first; the other arguments are folders of cases (none: all). One JSON
object on standard output tells the outcome.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

CASES = Path(__file__).resolve().parents[1] / "conformance"
REAL_LIMIT_S = 20.0  # of one case: a fault may make it hang


def main(copy: str, rule: str, *folders: str) -> None:
    import aether_protocol
    from aether_protocol.testing.read import find_files, read_files
    from aether_protocol.testing.run import run_case

    assert Path(aether_protocol.__file__).is_relative_to(Path(copy).resolve()), aether_protocol.__file__
    cases = read_files(find_files([CASES / folder for folder in folders] or [CASES]))
    cases.sort(key=lambda case: rule not in case.rules)
    for case in cases:
        result = run_case(case, real_limit_s=REAL_LIMIT_S)
        if result.outcome != "passed":
            file = str(Path(case.file).relative_to(CASES))
            why = result.faults[0].message if result.faults else result.detail
            print(json.dumps({"case": case.name, "file": file, "outcome": result.outcome, "why": why}))
            return
    print(json.dumps({"passed": len(cases)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
