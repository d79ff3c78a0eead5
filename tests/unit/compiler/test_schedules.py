"""Schedules of documents: what is said of them, where, and by every door that checks a document (CRON-1, SPEC-7)."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from aether_protocol.assembly.documents import load_plan
from aether_protocol.cli import main
from aether_protocol.compiler.checks.schedules import check_document
from aether_protocol.compiler.compile import compile_document
from aether_protocol.compiler.schedule_settings import cron_settings
from aether_protocol.cron.settings import CronSettings
from aether_protocol.diagnostics import CODES
from aether_protocol.diagnostics.schedules import SCHEDULES
from aether_protocol.documents.library import TemplateLibrary
from aether_protocol.documents.load import LoadedDocument, load_bytes, load_value
from aether_protocol.documents.models import CronWorkflow
from aether_protocol.errors import DocumentError

ROOT = Path(__file__).parents[3]
SECOND = 1_000_000


def document(**spec: Any) -> dict[str, Any]:
    workflow = {"entrypoint": "main", "templates": [{"task": {"name": "main", "executor": {"type": "noop"}}}]}
    return {
        "apiVersion": "aether/v1",
        "kind": "CronWorkflow",
        "metadata": {"name": "nightly"},
        "spec": {"schedule": "@daily", "workflowSpec": workflow, **spec},
    }


def loaded(**spec: Any) -> LoadedDocument:
    [one] = load_value(document(**spec)).documents
    return one


def told(**spec: Any) -> list[str]:
    return [f"{one.code} {one.path}: {one.message}; {one.hint}" for one in check_document(loaded(**spec))]


@pytest.mark.rule("SPEC-7")
def test_the_settings_of_a_document() -> None:
    model = loaded(
        schedule="30 2 * * MON-FRI",
        timezone="Europe/Vienna",
        startAt="2026-01-01t00:00:00.1234567+01:00",
        endAt="2026-12-31T23:59:59Z",
        concurrencyPolicy="Replace",
        startingDeadlineSeconds=600,
        successfulJobsHistoryLimit=0,
        failedJobsHistoryLimit=7,
        suspend=True,
    ).model
    assert isinstance(model, CronWorkflow)
    assert cron_settings(model) == CronSettings(
        "30 2 * * MON-FRI",
        "Europe/Vienna",
        1_767_222_000 * SECOND + 123_456,
        1_798_761_599 * SECOND,
        "Replace",
        600,
        0,
        7,
        True,
    )


@pytest.mark.rule("SPEC-7")
def test_the_settings_of_a_document_that_sets_nothing() -> None:
    model = loaded().model
    assert isinstance(model, CronWorkflow)
    assert cron_settings(model) == CronSettings("@daily")


@pytest.mark.rule("CRON-1")
@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"schedule": "61 * * * *"}, "AE501 spec.schedule: minute '61' is not within 0 to 59; give 0 to 59"),
        (
            {"schedule": "0 0 * * FRI-MON"},
            "AE501 spec.schedule: day of week 'FRI-MON' ends before it begins; write FRI-SUN,MON",
        ),
        (
            {"schedule": "0 0 31 2 *"},
            "AE502 spec.schedule: '0 0 31 2 *' never fires: there is no day 31 in month '2'; give a day up to 29",
        ),
        (
            {"schedule": "0 6 * * MON", "startAt": "2026-05-05T00:00:00Z", "endAt": "2026-05-10T00:00:00Z"},
            "AE503 spec.endAt: '0 6 * * MON' does not fire from startAt '2026-05-05T00:00:00Z' to endAt "
            "'2026-05-10T00:00:00Z'; after startAt it fires at 2026-05-11T06:00:00+00:00",
        ),
        (
            {"startAt": "2026-03-28T23:30:00Z", "endAt": "2026-03-29T21:59:59Z", "timezone": "Europe/Vienna"},
            "AE503 spec.endAt: '@daily' does not fire from startAt '2026-03-28T23:30:00Z' to endAt '2026-03-29T21:59:59Z'; "
            "after startAt it fires at 2026-03-30T00:00:00+02:00",
        ),
        (  # the clocks are set forward at 01:00Z, from 02:00 to 03:00: no minute of that hour is shown
            {
                "schedule": "*/5 2 * * *",
                "startAt": "2026-03-29T00:00:00Z",
                "endAt": "2026-03-29T12:00:00Z",
                "timezone": "Europe/Vienna",
            },
            "AE503 spec.endAt: '*/5 2 * * *' does not fire from startAt '2026-03-29T00:00:00Z' to endAt "
            "'2026-03-29T12:00:00Z'; after startAt it fires at 2026-03-30T02:00:00+02:00",
        ),
        (
            {"schedule": "0 0 30 2 *", "timezone": "Asia/Tokyo"},
            "AE502 spec.schedule: '0 0 30 2 *' never fires: there is no day 30 in month '2'; give a day up to 29",
        ),
        (
            {"startAt": "9999-12-31T23:59:59Z"},
            "AE503 spec.startAt: '@daily' does not fire from startAt '9999-12-31T23:59:59Z'; give an earlier startAt",
        ),
    ],
)
def test_what_is_wrong_with_a_schedule(spec: dict[str, Any], expected: str) -> None:
    assert told(**spec) == [expected]


@pytest.mark.rule("CRON-1")
@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"schedule": "0 0 29 2 *"},
        {"startAt": "2026-05-01T00:00:00Z", "endAt": "2026-05-01T00:00:01Z"},
        {"startAt": "2026-05-01T00:00:00.000001Z", "endAt": "2026-05-02T00:00:00Z"},
        {"endAt": "1999-01-01T00:00:00Z"},  # over, but that is not a fault of the document
        {"startAt": "2500-01-01T00:00:00Z"},
        {"suspend": True},
        {"schedule": "0 0 30 2 MON"},  # either field may match: Mondays of February
        {  # what the clocks leave out fires once, at the first instant after
            "schedule": "30 2 * * *",
            "startAt": "2026-03-29T00:00:00Z",
            "endAt": "2026-03-29T12:00:00Z",
            "timezone": "Europe/Vienna",
        },
    ],
)
def test_schedules_without_a_fault(spec: dict[str, Any]) -> None:
    assert told(**spec) == []


@pytest.mark.rule("CRON-1", "DOC-7")
@pytest.mark.parametrize(
    ("spec", "code"),
    [
        ({"schedule": "0 0 ? * *"}, "AE124"),
        ({"schedule": 7}, "AE122"),
        ({"timezone": "Mars/Olympus", "startAt": "2026-05-01T00:00:00Z"}, "AE124"),
        ({"timezone": 5, "startAt": "2026-05-05T01:00:00Z", "endAt": "2026-05-05T02:00:00Z"}, "AE122"),
        ({"startAt": "2026-05-01", "endAt": "2026-05-01T00:00:00Z"}, "AE124"),
        ({"startAt": "2026-02-30T00:00:00Z"}, "AE133"),
        ({"startAt": "2026-05-02T00:00:00Z", "endAt": "2026-05-01T00:00:00Z"}, "AE134"),
    ],
)
def test_what_the_reader_told_is_not_told_again(spec: dict[str, Any], code: str) -> None:
    file = load_value(document(**spec))
    assert [one.code for one in file.diagnostics] == [code]
    assert [check_document(one) for one in file.documents] == [[]]


def test_other_kinds_have_no_schedule() -> None:
    workflow = {**document(), "kind": "Workflow", "spec": document()["spec"]["workflowSpec"]}
    [one] = load_value(workflow).documents
    assert check_document(one) == []
    [nothing] = load_value(["no document"]).documents
    assert check_document(nothing) == []


TEXT = """\
apiVersion: aether/v1
kind: CronWorkflow
metadata: {name: nightly}
spec:
  schedule: %s
  workflowSpec:
    entrypoint: main
    templates: [{task: {name: main, executor: {type: noop}}}]
"""


@pytest.mark.rule("CRON-1", "DOC-7")
@pytest.mark.parametrize(
    ("schedule", "column"),
    [('"0 3 * * MON,WEN"', 26), ("0 3 * * MON,WEN", 25), ("61 * * * *", 13), (">-\n    0 3 32 * *", 13), ("'0 0 31 2 *'", 18)],
)
def test_the_place_of_a_fault_is_that_of_the_field(schedule: str, column: int) -> None:
    [one] = load_bytes((TEXT % schedule).encode(), "nightly.yaml").documents
    [found] = check_document(one)
    assert (found.file, found.line, found.column, found.path) == ("nightly.yaml", 5, column, "spec.schedule")


@pytest.mark.rule("CRON-1", "DOC-1")
@pytest.mark.parametrize(
    ("spec", "code"),
    [
        ({"schedule": "0 0 30 2 *"}, "AE502"),
        ({"schedule": "61 * * * *"}, "AE501"),
        ({"startAt": "2026-05-01T00:00:01Z", "endAt": "2026-05-01T23:59:59Z"}, "AE503"),
    ],
)
def test_a_schedule_that_never_fires_has_no_plan(spec: dict[str, Any], code: str) -> None:
    compiled = compile_document(loaded(**spec))
    assert [one.code for one in compiled.diagnostics] == [code]
    assert compiled.plan is None
    assert compile_document(loaded()).plan is not None


BARE = """\
apiVersion: aether/v1
kind: CronWorkflow
metadata: {name: nightly}
spec:
  schedule: "@daily"
  workflowSpec:
    entrypoint: main
    arguments:
      parameters:
        - {name: region, type: string, default: eu}
        - {name: day, type: string}
    templates: [{task: {name: main, executor: {type: noop}}}]
"""


@pytest.mark.rule("DATA-14", "CRON-2")
def test_a_fire_gives_no_arguments_so_that_every_parameter_needs_a_value() -> None:
    [one] = load_bytes(BARE.encode(), "nightly.yaml").documents
    compiled = compile_document(one)
    assert [(found.code, found.line, found.column, found.message, found.hint) for found in compiled.diagnostics] == [
        ("AE512", 11, 11, "parameter 'day' has no value", "a fire gives no arguments: declare a default, or a value")
    ]
    assert compiled.plan is None
    [fine] = load_bytes(BARE.replace("{name: day, type: string}", "{name: day, value: monday}").encode(), "a.yaml").documents
    assert compile_document(fine).diagnostics == ()


@pytest.mark.rule("DATA-14", "TMPL-1")
def test_a_parameter_of_a_library_that_no_fire_fills_is_reported_at_the_workflow_spec() -> None:
    text = """\
apiVersion: aether/v1
kind: WorkflowTemplate
metadata: {name: base}
spec:
  entrypoint: main
  arguments: {parameters: [{name: day, type: string}]}
  templates: [{task: {name: main, executor: {type: noop}}}]
---
apiVersion: aether/v1
kind: CronWorkflow
metadata: {name: nightly}
spec:
  schedule: "@daily"
  workflowSpec: {workflowTemplateRef: {name: base}}
"""
    library = TemplateLibrary()
    base, nightly = load_bytes(text.encode(), "nightly.yaml").documents
    library.add(base)
    [found] = compile_document(nightly, library).diagnostics
    assert (found.code, found.line, found.path) == ("AE512", 14, "spec.workflowSpec")
    filled = text.replace("{workflowTemplateRef", "{arguments: {parameters: [{name: day, value: x}]}, workflowTemplateRef")
    given = load_bytes(filled.encode(), "filled.yaml").documents[1]
    assert compile_document(given, library).diagnostics == ()


FAULTY = TEXT % '"0 22-5 * * *"'


@pytest.mark.rule("CRON-1")
def test_a_run_is_refused() -> None:
    with pytest.raises(DocumentError, match="hour '22-5' ends before it begins") as caught:
        load_plan(FAULTY)
    assert [one.code for one in caught.value.diagnostics] == ["AE501"]
    assert load_plan(TEXT % "'@daily'").name == "nightly"


@pytest.mark.rule("CRON-1")
@pytest.mark.parametrize("command", ["validate", "run"])
def test_the_command_line_says_it(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("nightly.yaml").write_text(FAULTY)
    assert main([command, "nightly.yaml"]) == 3
    told = capsys.readouterr()
    assert "nightly.yaml:5:16: error AE501: hour '22-5' ends before it begins" in told.out + told.err


@pytest.mark.rule("CRON-1")
def test_a_case_sees_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case = {
        "case": "a night",
        "documentText": FAULTY,
        "expect": {"valid": False, "diagnostics": [{"code": "AE501", "line": 5, "path": "spec.schedule"}]},
    }
    (tmp_path / "night.cases.yaml").write_text(json.dumps(case))
    assert main(["test", str(tmp_path)]) == 0, capsys.readouterr()
    (tmp_path / "night.cases.yaml").write_text(json.dumps({**case, "expect": {"phase": "Succeeded"}}))
    assert main(["test", str(tmp_path)]) != 0
    assert "AE501" in capsys.readouterr().out


@pytest.mark.rule("DOC-7")
def test_the_codes_of_schedules_are_those_that_are_found() -> None:
    package = ROOT / "aether_protocol"  # what is applied has more to fit than what is validated
    homes = ("compiler/checks/schedules.py", "service/schedules/check.py")
    source = "".join((package / name).read_text("utf-8") for name in homes)
    codes = [info.code for info in SCHEDULES]
    assert set(re.findall(r'"(AE5\d{2})"', source)) == set(codes)
    assert codes == sorted(set(codes))
    assert all(CODES[info.code] is info and info.severity == "error" and info.explanation.endswith(".") for info in SCHEDULES)
