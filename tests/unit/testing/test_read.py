"""Case files are read strictly: what cannot be meant is reported with its line, and never passes."""

from __future__ import annotations

from pathlib import Path

import pytest

from aether_protocol.testing.cases.model import Case
from aether_protocol.testing.cases.read import find_files, read_file, read_files, read_text

HEAD = "case: one\ndocument: {}\n"


def read(text: str) -> list[Case]:
    return read_text(text.encode(), "x.cases.yaml")


def test_a_document_is_reported_as_one_and_not_field_by_field() -> None:
    text = b"apiVersion: aether/v1\nkind: Workflow\nmetadata: {name: w}\nspec: {}\n"
    (case,) = read_text(text, "w.yaml")
    (fault,) = case.faults
    assert (fault.line, fault.message) == (1, "this is a document, not a case")
    assert "aether validate w.yaml" in (fault.hint or "")


def faults(text: str) -> list[str]:
    return [str(fault) for case in read(text) for fault in case.faults]


def test_a_whole_case_is_read() -> None:
    (case,) = read(
        "case: all\nrules: [SCHED-9]\ndocument: {kind: Workflow}\nlibrary: [{kind: WorkflowTemplate}]\n"
        "arguments: {rows: 5}\nsecrets: {db: {password: x}}\nvariables: {deploy: {cluster: east}}\n"
        "limits: {nodes: 1000}\nconcurrency: 1\nnow: 2026-01-01T00:00:01+00:00\nstore: memory\n"
        "executors: [{match: {path: main.*}, attempts: [{code: 3, after: 2s}, {suspend: true}, {hang: true}]}]\n"
        "drive: [{at: 10s, cancel: run}, {at: 5s, resume: {task: main.a}, refused: true}]\n"
        "expect: {phase: Succeeded}\n"
    )
    assert case.faults == ()
    assert (case.name, case.line, case.rules, case.concurrency) == ("all", 1, ("SCHED-9",), 1)
    assert case.now_us == 1_767_225_601_000_000
    assert [(a.code, a.after_us, a.hang) for a in case.scripts[0].attempts] == [
        (3, 2_000_000, False),
        (1, 0, False),
        (0, 0, True),
    ]
    assert [(d.at_us, d.action, d.refused) for d in case.drive] == [(5_000_000, "resume", True), (10_000_000, "cancel", None)]


@pytest.mark.parametrize("store", ["snapshot", "state-action-log"])
def test_a_durable_store_a_crash_and_a_retry_are_read(store: str) -> None:
    (case,) = read(
        f"{HEAD}store: {store}\ndrive: [{{at: 2s, retry: {{from: main.a}}, refused: true}}, {{at: 1s, crash: engine}}]\n"
        "expect: {phase: Failed}\n"
    )
    assert case.faults == ()
    assert case.store == store
    assert [(d.at_us, d.action, d.refused) for d in case.drive] == [(1_000_000, "crash", None), (2_000_000, "retry", True)]


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("expect: {phasee: Failed}", "3: unknown field 'phasee' in expect (did you mean 'phase'?)"),
        ("expect: {phase: Succeded}", "3: 'Succeded' is not a phase (did you mean 'Succeeded'?)"),
        ("expect: {}", "3: expect asserts nothing: it is empty"),
        ("expect:\n  tasks: {}", "4: expect.tasks asserts nothing: it is empty"),
        ("expect:\n  tasks:\n    main.a: {}", "5: expect.tasks['main.a'] asserts nothing: it is empty"),
        ("expect: {tasks: {main.a: {outputs: {}}}}", "3: expect.tasks['main.a'].outputs asserts nothing: it is empty"),
        ("expect: {tasks: {main..a: {phase: Failed}}}", "3: 'main..a' is not a task path (like 'main.batch[1].load')"),
        ("expect: {message: {contains: ''}}", "3: expect.message asserts nothing: every text contains the empty one"),
        ("expect: {message: {contain: x}}", "3: expect.message must be text or {contains: text}"),
        ("expect: {elapsed: 4}", "3: expect.elapsed must be a duration, not integer (like '1h30m' or '500ms')"),
        ("expect: {elapsed: 4x}", "3: expect.elapsed: '4x' is not a duration (like '1h30m' or '500ms')"),
        ("expect: {hidden: []}", "3: expect.hidden asserts nothing: it is empty"),
        ("expect: {taskCount: true}", "3: expect.taskCount must be an integer, not boolean"),
        ("expect: {hooks: ['workflow:onStrat']}", "3: 'onStrat' is not a hook event (did you mean 'onStart'?)"),
        ("expect: {hooks: [onStart]}", "3: 'onStart' is not a hook (like 'workflow:onStart' or 'task:main.fetch:onSuccess')"),
        ("expect: {valid: false, phase: Failed}", "3: nothing runs where valid is false, so expect.phase asserts nothing"),
        ("expect: {diagnostics: [{code: AE10}]}", "3: 'AE10' is not a code of a diagnostic (did you mean"),
        ("expect: {fires: []}", "3: expect.fires asserts nothing: the case watches no schedule (give cron.until)"),
        ("cron: {until: 1h}\nexpect: {phase: Failed}", "4: expect.phase is about one run, but cron watches a schedule"),
        ("cron: {until: 1h}\ndrive: [{at: 1s, cancel: run}]\nexpect: {fires: []}", "4: drive is for one run, but cron watches"),
        ("cron: {until: 1h}\nstore: memory\nexpect: {fires: []}", "4: a schedule in store 'memory' does not outlive"),
        ("cron: {}\nexpect: {fires: []}", "3: missing field 'until' in cron"),
        ("cron: {until: 1h, downtime: [{from: 2m, to: 1m}]}\nexpect: {fires: []}", "3: downtime ends at 1m, which is not"),
        ("cron: {until: 1h, changes: [{at: 1m, set: {}}]}\nexpect: {fires: []}", "3: cron.changes[0].set is empty"),
        ("cron: {until: 1h}\nexpect: {fires: [tomorrow]}", "4: expect.fires[0] is not an RFC 3339 time: 'tomorrow'"),
        ("cron: {until: 1h}\nexpect: {skips: [{reason: x}]}", "4: missing field 'time' in expect.skips[0]"),
        ("cron: {until: 1h}\nexpect: {runs: [{}]}", "4: expect.runs[0] asserts nothing: it is empty"),
        ("store: disk\nexpect: {phase: Failed}", "3: 'disk' is not a store (known: memory, snapshot, state-action-log)"),
        ("store: snapshoot\nexpect: {phase: Failed}", "3: 'snapshoot' is not a store (did you mean 'snapshot'?)"),
        ("rules: [SHED-9]\nexpect: {phase: Failed}", "3: 'SHED-9' is not a rule (did you mean 'SCHED-9'?)"),
        ("limits: {node: 3}\nexpect: {phase: Failed}", "3: unknown field 'node' in limits (did you mean 'nodes'?)"),
        ("now: yesterday\nexpect: {phase: Failed}", "3: now is not an RFC 3339 time: 'yesterday'"),
        ("now: 2026-01-01T00:00:00\nexpect: {phase: Failed}", "3: now is not an RFC 3339 time"),
        ("documentText: x\nexpect: {phase: Failed}", "1: expected exactly one of document, documentFile, documentText"),
        ("drive: [{at: 1s, cancel: all}]\nexpect: {phase: Failed}", "3: drive[0].cancel can only be 'run', not 'all'"),
        (
            "drive: [{at: 1s, crash: engine}]\nexpect: {phase: Failed}",
            "3: a run in store 'memory' does not outlive its engine (use 'state-action-log' or 'snapshot')",
        ),
        ("store: snapshot\ndrive: [{at: 1s, crash: run}]\nexpect: {phase: Failed}", "4: drive[0].crash can only be 'engine'"),
        ("drive: [{at: 1s, retry: {form: main.a}}]\nexpect: {phase: Failed}", "3: unknown field 'form' in drive[0].retry"),
        ("drive: [{at: 1s}]\nexpect: {phase: Failed}", "3: expected exactly one of resume, cancel"),
        ("drive: [{cancel: run}]\nexpect: {phase: Failed}", "3: missing field 'at' in drive[0]"),
        (
            "drive: [{at: 1s, duplicate: main.a, refused: true}]\nexpect: {phase: Failed}",
            "3: only resume, cancel and retry can be refused (late and unknown results change nothing)",
        ),
        (
            "executors: [{match: {paths: main.a}, attempts: [{}]}]\nexpect: {phase: Failed}",
            "3: unknown field 'paths' in executors[0].match (did you mean 'path'?)",
        ),
        (
            "executors: [{match: {task: a}, attempts: [{hang: true, code: 2}]}]\nexpect: {phase: Failed}",
            "3: 'code' has no effect beside 'hang'",
        ),
        ("executors: [{match: {task: a}, attempts: []}]\nexpect: {phase: Failed}", "3: executors[0].attempts is empty"),
        ("executors: [{match: {task: a}}]\nexpect: {phase: Failed}", "3: missing field 'attempts' in executors[0]"),
        ("expect: {tasks: {main: {assignment: {tiemout: 5s}}}}", "3: unknown field 'tiemout'"),
    ],
)
def test_what_cannot_be_meant_is_told(more: str, told: str) -> None:
    found = faults(HEAD + more)
    assert len(found) == 1
    assert found[0].startswith(f"x.cases.yaml:{told}")


def test_all_faults_of_a_case_are_told_at_once() -> None:
    assert len(faults(HEAD + "rules: [X-1]\nnow: never\nexpect: {phase: Nope}")) == 3


def test_a_case_without_expectation_or_document_is_a_fault() -> None:
    assert faults("case: one\ndocument: {}") == ["x.cases.yaml:1: missing field 'expect'"]
    (told,) = faults("case: one\nexpect: {phase: Failed}")
    assert "exactly one of document, documentFile, documentText, documentBase64, got none" in told


def test_a_missing_document_file_is_a_fault_even_where_the_document_is_to_be_refused() -> None:
    (told,) = faults("case: one\ndocumentFile: nowhere.yaml\nexpect: {valid: false}")
    assert told.startswith("x.cases.yaml:2: there is no file 'nowhere.yaml'")


def test_bad_base64_is_a_fault() -> None:
    assert faults("case: one\ndocumentBase64: '!'\nexpect: {valid: false}") == [
        "x.cases.yaml:2: documentBase64 is not base64"
    ]


def test_a_file_that_is_no_yaml_is_a_case_that_cannot_pass() -> None:
    found = faults("case: one\n  x: [")
    assert found
    assert all(line.startswith("x.cases.yaml:") for line in found)


def test_duplicate_keys_are_told_and_do_not_pass() -> None:
    assert any("stands twice" in line for line in faults(HEAD + "expect: {phase: Failed}\nexpect: {phase: Error}"))


def test_something_else_than_a_case_is_a_fault() -> None:
    assert "a case must be object, not array" in faults("- case: one")[0]


def test_names_are_unique_over_all_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.cases.yaml").write_text(HEAD + "expect: {phase: Failed}\n")
    cases = read_files(find_files([tmp_path]))
    assert [len(case.faults) for case in cases] == [0, 1]
    assert "the name 'one' is taken by" in str(cases[1].faults[0])


def test_files_are_found_by_name_and_by_content(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "cases.yaml").write_text("# nothing yet\n")
    (tmp_path / "x.case.yaml").write_text("")
    (tmp_path / "odd.yaml").write_text("# comment\n---\ncase: here\n")
    (tmp_path / "workflow.yaml").write_text("apiVersion: aether/v1\n")
    assert [path.name for path in find_files([tmp_path])] == ["odd.yaml", "cases.yaml", "x.case.yaml"]
    assert find_files([tmp_path / "workflow.yaml"]) == [tmp_path / "workflow.yaml"]


def test_a_file_that_is_not_there_is_a_case_that_cannot_pass(tmp_path: Path) -> None:
    (case,) = read_file(tmp_path / "none.yaml")
    assert "cannot be read" in str(case.faults[0])
