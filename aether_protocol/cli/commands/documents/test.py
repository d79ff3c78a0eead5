"""`aether test`: case files run on a virtual clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click

from aether_protocol.cli.exits import FAILED, FINE
from aether_protocol.cli.terminal.streams import let_outcome_decide
from aether_protocol.errors import PortError, UsageError
from aether_protocol.testing.cases import Case, CaseResult
from aether_protocol.testing.read import find_files, read_files
from aether_protocol.views.text import counted, printable

EPILOG = """\b
Examples:
  aether test
  aether test workflows/ -k approval
  aether test . --junit report.xml
  aether test . --crash-everywhere

\b
A case file says what a workflow gets and what must come of it; tasks are scripted and time is virtual.
'aether init NAME' makes one to start from. In a folder those are the files named cases.yaml, *.case.yaml and
*.cases.yaml, and YAML files that begin with 'case:'."""


@click.command("test", epilog=EPILOG)
@click.argument("paths", nargs=-1, metavar="[PATH]...", type=click.Path(exists=True, path_type=Path))
@click.option("-k", "words", metavar="WORDS", help="Only cases whose name, file or rules have all these words.")
@click.option("-x", "--fail-fast", is_flag=True, help="Stop at the first case that does not pass.")
@click.option("-v", "--verbose", is_flag=True, help="Name the cases that pass, too.")
@click.option("--store", type=click.Choice(["memory", "snapshot", "state-action-log"]),
              help="Run all cases on this tier, whatever store they name.")
@click.option("--crash-everywhere", is_flag=True,
              help="Run each case on every tier, and lose the engine after every single write of a durable one.")
@click.option("--junit", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Write a JUnit report.")
@click.option("--coverage-of-rules", is_flag=True, help="Print which protocol rules the cases cover; fail below 100 %.")
@click.option("--tests", multiple=True, type=click.Path(exists=True, path_type=Path), metavar="DIR",
              help="Where test functions marked with rule IDs are, for --coverage-of-rules (default: tests).")
def command(
    paths: tuple[Path, ...], words: str | None, fail_fast: bool, verbose: bool, junit: Path | None,
    coverage_of_rules: bool, **how: Any,
) -> int:
    """Run case files: unit tests for workflows.

    PATH is a case file or a folder (default: this one).
    """
    cases = read_files(find_files(paths or (Path(),)))
    chosen = [case for case in cases if selected(case, words)]
    if not chosen:
        raise UsageError("there is no case to run", hint="see 'aether test --help' for what counts as a case file")
    if how["store"] is not None and how["crash_everywhere"]:
        raise UsageError("--crash-everywhere runs on every tier", hint="leave out --store")
    let_outcome_decide()
    judge = judging(how["store"], how["crash_everywhere"])
    results = run(chosen, judge, fail_fast=fail_fast, verbose=verbose)
    if junit is not None:
        write_junit(junit, results)
    fine = all(result.outcome == "passed" for result in results)
    if coverage_of_rules:
        fine = show_coverage(cases, how["tests"] or default_tests()) and fine
    return FINE if fine else FAILED


def selected(case: Case, words: str | None) -> bool:
    """Does this case have all the words?"""
    text = " ".join((case.name, case.file, *case.rules)).lower()
    return all(word in text for word in (words or "").lower().split())


def judging(store: str | None, crash_everywhere: bool) -> Callable[[Case], CaseResult]:
    """What runs one case."""
    from aether_protocol.testing.every_tier import on_tier, run_everywhere
    from aether_protocol.testing.run import run_case

    if crash_everywhere:
        return run_everywhere
    return run_case if store is None else lambda case: run_case(on_tier(case, store))


def run(cases: Iterable[Case], judge: Callable[[Case], CaseResult], *, fail_fast: bool, verbose: bool) -> list[CaseResult]:
    """Run and tell what does not pass as soon as it is known."""
    from aether_protocol.testing.reports import explain, summary

    results: list[CaseResult] = []
    for case in cases:
        result = judge(case)
        results.append(result)
        if result.outcome == "passed":
            if verbose:
                click.secho("passed ", fg="green", nl=False)
                click.echo(printable(f"{case.file}:{case.line}: {case.name}"))
            continue
        click.echo(printable(explain(result)))
        if fail_fast:
            break
    failed = any(result.outcome != "passed" for result in results)
    click.secho(summary(results), fg="red" if failed else "green", bold=True)
    return results


def write_junit(path: Path, results: list[CaseResult]) -> None:
    from aether_protocol.testing.reports import junit_xml

    try:
        path.write_text(junit_xml(results), "utf-8")
    except OSError as error:
        raise PortError(f"cannot write {str(path)!r}: {error.strerror or error}") from None


def default_tests() -> tuple[Path, ...]:
    tests = Path("tests")
    return (tests,) if tests.is_dir() else ()


def show_coverage(cases: list[Case], tests: tuple[Path, ...]) -> bool:
    """Print the table of rules; is every one of them covered?"""
    from aether_protocol.testing.coverage import coverage_text, rule_coverage

    coverage = rule_coverage(cases, tests)
    click.echo()
    click.echo(coverage_text(coverage))
    if coverage.missing:
        click.secho(f"{counted(len(coverage.missing), 'rule')} not covered", fg="red", err=True)
    return coverage.complete
