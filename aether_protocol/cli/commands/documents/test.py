"""`aether test`: case files run on a virtual clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated

import click
from msgspec import Struct

from aether_protocol.cli.command import argument, command_with, option, output_option
from aether_protocol.cli.exits import FAILED, FINE
from aether_protocol.cli.options import ToOption
from aether_protocol.cli.target import written_to
from aether_protocol.cli.terminal import messages
from aether_protocol.cli.terminal.streams import let_outcome_decide
from aether_protocol.cli.value_types import FILE, Location, OneOf
from aether_protocol.errors import UsageError
from aether_protocol.testing.cases.model import Case, CaseResult
from aether_protocol.testing.cases.read import find_files, read_files
from aether_protocol.views.text import counted, printable

EPILOG = """\b
Examples:
  aether test
  aether test workflows/ -k approval
  aether test . -o junit --to report.xml
  aether test . --crash-everywhere

A case file says what a workflow gets and what must come of it; tasks are scripted and time is virtual. 'aether init NAME'
makes one to start from. In a folder those are the files named cases.yaml, *.case.yaml and *.cases.yaml, and YAML files
that begin with 'case:'."""


class TestOptions(Struct, frozen=True, kw_only=True):
    __test__ = False  # for pytest, which takes it for a test by its name

    paths: Annotated[tuple[Path, ...], argument("[PATH]...", nargs=-1, type=Location(exists=True, as_path=True))] = ()
    words: Annotated[
        str | None, option("-k", metavar="WORDS", help="Only cases whose name, file or rules have all these words.")
    ] = None
    fail_fast: Annotated[
        bool, option("-x", "--fail-fast", is_flag=True, help="Stop at the first case that does not pass.")
    ] = False
    verbose: Annotated[bool, option("-v", "--verbose", is_flag=True, help="Name the cases that pass, too.")] = False
    store: Annotated[
        str | None,
        option("--store", type=OneOf(["memory", "snapshot", "state-action-log"]), metavar="TIER",
               help="Run all cases on this tier, whatever store they name: memory, snapshot or state-action-log."),
    ] = None
    crash_everywhere: Annotated[
        bool,
        option("--crash-everywhere", is_flag=True,
               help="Run each case on every tier, and lose the engine after every single write of a durable one."),
    ] = False
    output: Annotated[
        str, output_option("text", "json", "junit", help="What to print: the cases that do not pass, or a report of all.")
    ] = "text"
    to: ToOption = None
    junit: Annotated[
        Path | None,
        option("--junit", type=Location(FILE, as_path=True), metavar="FILE", hidden=True,
               help="Write a JUnit report to this file, beside what is printed."),
    ] = None
    coverage_of_rules: Annotated[
        bool,
        option("--coverage-of-rules", is_flag=True, help="Print which protocol rules the cases cover; fail below 100 %."),
    ] = False
    tests: Annotated[
        tuple[Path, ...],
        option("--tests", multiple=True, type=Location(exists=True, as_path=True), metavar="DIR",
               help="Where test functions marked with rule IDs are, for --coverage-of-rules (default: tests)."),
    ] = ()


@command_with(TestOptions, "test", epilog=EPILOG)
def command(options: TestOptions) -> int:
    """Run case files: unit tests for workflows.

    PATH is a case file or a folder (default: this one).
    """
    cases = read_files(find_files(options.paths or (Path(),)))
    chosen = [case for case in cases if selected(case, options.words)]
    if not chosen:
        raise UsageError("there is no case to run", hint="see 'aether test --help' for what counts as a case file")
    if options.store is not None and options.crash_everywhere:
        raise UsageError("--crash-everywhere runs on every tier", hint="leave out --store")
    let_outcome_decide()
    judge = judging(options.store, options.crash_everywhere)
    results = run(chosen, judge, options)
    if options.output != "text":
        print_report(options.output, results)
    if options.junit is not None:
        written_to(options.junit, lambda: print_report("junit", results))
    fine = all(result.outcome == "passed" for result in results)
    if options.coverage_of_rules:
        fine = show_coverage(cases, options.tests or default_tests()) and fine
    return FINE if fine else FAILED


def selected(case: Case, words: str | None) -> bool:
    """Does this case have all the words?"""
    text = " ".join((case.name, case.file, *case.rules)).lower()
    return all(word in text for word in (words or "").lower().split())


def judging(store: str | None, crash_everywhere: bool) -> Callable[[Case], CaseResult]:
    """What runs one case."""
    from aether_protocol.testing.cases.every_tier import on_tier, run_everywhere
    from aether_protocol.testing.cases.run import run_case

    if crash_everywhere:
        return run_everywhere
    return run_case if store is None else lambda case: run_case(on_tier(case, store))


def run(cases: Iterable[Case], judge: Callable[[Case], CaseResult], options: TestOptions) -> list[CaseResult]:
    """Run them; what does not pass is shown as soon as it is known, on standard error where a report is the result."""
    from aether_protocol.testing.cases.reports import explain, summary

    aside = options.output != "text"
    results: list[CaseResult] = []
    for case in cases:
        result = judge(case)
        results.append(result)
        if result.outcome == "passed":
            if options.verbose:
                tell("passed ", f"{case.file}:{case.line}: {case.name}", color="green", aside=aside)
            continue
        tell("", explain(result), aside=aside)
        if options.fail_fast:
            break
    failed = any(result.outcome != "passed" for result in results)
    tell(summary(results), "", color="red" if failed else "green", aside=aside)
    return results


def tell(label: str, text: str, *, color: str | None = None, aside: bool) -> None:
    """A line on standard output, or a note beside a report that is the result."""
    if aside:
        messages.note(f"{label}{text}")
    else:
        click.secho(label, fg=color, bold=not text, nl=False)
        click.echo(printable(text))


def print_report(form: str, results: list[CaseResult]) -> int:
    """Print all results for programs."""
    from aether_protocol.testing.cases.reports import as_json, junit_xml

    click.echo((as_json if form == "json" else junit_xml)(results).rstrip())
    return FINE


def default_tests() -> tuple[Path, ...]:
    tests = Path("tests")
    return (tests,) if tests.is_dir() else ()


def show_coverage(cases: list[Case], tests: tuple[Path, ...]) -> bool:
    """Print the table of rules; is every one of them covered?"""
    from aether_protocol.testing.cases.coverage import coverage_text, rule_coverage

    coverage = rule_coverage(cases, tests)
    click.echo()
    click.echo(coverage_text(coverage))
    if coverage.missing:
        messages.error(f"{counted(len(coverage.missing), 'rule')} not covered")
    return coverage.complete
