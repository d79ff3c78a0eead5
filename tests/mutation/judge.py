"""Runs the conformance cases until one does not pass: the work of one process of the mutation check.

Law: what is judged is the package that stands first on the path, which must be the copy named by the first argument. Files
and cases that name the rule of the second argument come first; the other arguments are folders of cases (none: all). One JSON
object on standard output tells the outcome.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

CASES = Path(__file__).resolve().parents[1] / "conformance"
REAL_LIMIT_S = 20.0  # of one case: a fault may make it hang


def main(copy: str, rule: str, *folders: str) -> None:
    import aether_protocol
    from aether_protocol.testing.cases.read import find_files, read_file
    from aether_protocol.testing.cases.run import run_case

    assert Path(aether_protocol.__file__).is_relative_to(Path(copy).resolve()), aether_protocol.__file__
    files = find_files([CASES / folder for folder in folders] or [CASES])
    word = re.compile(rf"\b{rule}\b")
    files.sort(key=lambda path: word.search(path.read_text("utf-8")) is None)
    passed = 0
    for path in files:
        for case in sorted(read_file(path), key=lambda case: rule not in case.rules):
            result = run_case(case, real_limit_s=REAL_LIMIT_S)
            if result.outcome != "passed":
                why = result.faults[0].message if result.faults else result.detail
                file = str(path.relative_to(CASES))
                print(json.dumps({"case": case.name, "file": file, "outcome": result.outcome, "why": why}))
                return
            passed += 1
    print(json.dumps({"passed": passed}))


if __name__ == "__main__":
    main(*sys.argv[1:])
