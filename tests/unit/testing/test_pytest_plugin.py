"""Case files are pytest tests; where there are none, the plugin does nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest

from aether_protocol.testing.cases.read import read_file
from aether_protocol.testing.cases.run import run_case

pytest_plugins = ["pytester"]

CASE = """
case: {name}
rules: [SCHED-5]
document:
  apiVersion: aether/v1
  kind: Workflow
  metadata: {{name: one}}
  spec: {{entrypoint: main, templates: [{{task: {{name: main, executor: {{type: noop}}}}}}]}}
expect: {{phase: {phase}}}
"""


def case(name: str, phase: str = "Succeeded") -> str:
    return CASE.format(name=name, phase=phase)


def write(pytester: pytest.Pytester, **files: str) -> None:
    """Files `x_cases` are `x.cases.yaml`."""
    for name, text in files.items():
        (pytester.path / f"{name.replace('_', '.')}.yaml").write_text(text)


@pytest.fixture(autouse=True, scope="module")
def everything_is_loaded(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A pytest inside of this process unloads whatever it was first to load, and modules in C do not survive that."""
    path = tmp_path_factory.mktemp("first") / "cases.yaml"
    path.write_text(case("first"))
    assert [run_case(one).outcome for one in read_file(path)] == ["passed"]


def test_cases_are_collected_by_the_names_of_files(pytester: pytest.Pytester) -> None:
    write(pytester, cases=case("one"), x_cases=case("two"), y_case=case("three"), other="a: 1")
    pytester.runpytest_inprocess().assert_outcomes(passed=3)


def test_cases_are_collected_below_the_folders_of_the_ini_option(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\naether_cases = suite\n")
    pytester.mkdir("suite")
    (pytester.path / "suite" / "any.yaml").write_text(case("one"))
    (pytester.path / "suite" / "document.yaml").write_text("# for a case\napiVersion: aether/v1\n")
    (pytester.path / "any.yaml").write_text(case("two"))
    pytester.runpytest_inprocess().assert_outcomes(passed=1)


def test_a_case_that_does_not_pass_fails_with_its_line_and_its_run(pytester: pytest.Pytester) -> None:
    write(pytester, x_cases=case("wrong", "Failed") + "---" + case("faulty", "Faild"))
    result = pytester.runpytest_inprocess()
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(
        ["*x.cases.yaml:9: expect.phase: expected Failed, got Succeeded", "*the run: Succeeded", "*'Faild' is not a phase*"]
    )


def test_a_name_that_is_used_twice_fails(pytester: pytest.Pytester) -> None:
    write(pytester, x_cases=case("same"), y_cases=case("same"))
    result = pytester.runpytest_inprocess()
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*the name 'same' is taken by *x.cases.yaml:2"])


def test_cases_are_chosen_by_name_and_by_mark(pytester: pytest.Pytester) -> None:
    write(pytester, x_cases=case("left") + "---" + case("right"))
    pytester.runpytest_inprocess("-k", "left").assert_outcomes(passed=1, deselected=1)
    pytester.runpytest_inprocess("-m", "not rule").assert_outcomes(deselected=2)


def test_the_plugin_imports_nothing_heavy() -> None:
    code = (
        "import sys, aether_protocol.testing.pytest_plugin;"
        "print([m for m in ('pydantic', 'ruamel', 'jsonschema', 'simpleeval', 'rich', 'click') if m in sys.modules],"
        "sorted(m for m in sys.modules if m.startswith('aether_protocol.')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[] ['aether_protocol.testing', 'aether_protocol.testing.pytest_plugin']"
