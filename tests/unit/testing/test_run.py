"""The case runner must not be pleased easily: cases that are wrong about their run do not pass, and say why."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent, indent

import pytest

from aether_protocol.testing.cases.model import CaseResult
from aether_protocol.testing.cases.read import read_text
from aether_protocol.testing.cases.reports import explain, junit_xml, summary, text
from aether_protocol.testing.cases.run import run_case

ONE_TASK = """
    document:
      apiVersion: aether/v1
      kind: Workflow
      metadata: {name: one}
      spec:
        entrypoint: main
        templates:
          - dag: {name: main, tasks: [{name: a, template: work}, {name: b, template: work, dependencies: [a]}]}
          - task: {name: work, executor: {type: noop}}
"""


def run(more: str, document: str = ONE_TASK, file: str = "x.cases.yaml") -> CaseResult:
    """Run one case; its own lines begin at line 11."""
    (case,) = read_text(f"case: it{dedent(document)}{dedent(more).strip()}\n".encode(), file)
    return run_case(case)


def told(result: CaseResult) -> list[str]:
    return [str(fault) for fault in result.faults]


def test_a_case_that_is_right_passes() -> None:
    result = run("expect: {phase: Succeeded, dispatched: [main.a, main.b]}")
    assert (result.outcome, result.faults, result.detail) == ("passed", (), "")


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ("expect: {phase: Failed}", "11: expect.phase: expected Failed, got Succeeded"),
        ("expect: {message: odd}", '11: expect.message: expected "odd", got ""'),
        ("expect: {taskCount: 2}", "11: expect.taskCount: expected 2, got 3: main, main.a, main.b"),
        ("expect: {elapsed: 1s}", "11: expect.elapsed: expected 1s, got 0s"),
        ("expect: {outputs: {x: 1}}", "11: expect.outputs.x: expected 1, got no such output"),
        ("expect: {notRun: [main.b]}", '11: expect.notRun: expected ["main.b"], got []'),
        ("expect: {dispatched: [main.b, main.a]}", 'expected ["main.b", "main.a"], got ["main.a", "main.b"]'),
        ("expect: {maxParallel: {main: 2}}", "11: expect.maxParallel.main: expected 2, got 1"),
        ("expect: {maxParallel: {main.a: 1}}", "11: expect.maxParallel['main.a']: a task has no children"),
        ("expect: {hooks: ['workflow:onExit']}", '11: expect.hooks: expected ["workflow:onExit"], got []'),
        ("expect: {tasks: {main.c: {phase: Failed}}}", "there is no task run 'main.c' (did you mean 'main"),
        ("expect:\n  tasks:\n    main.a: {phase: Failed}", "13: expect.tasks['main.a'].phase: expected Failed, got Succeeded"),
        ("expect: {tasks: {main.a: {retries: 1}}}", "11: expect.tasks['main.a'].retries: expected 1, got 0"),
        ("expect: {tasks: {main.a: {type: dag}}}", "expected \"dag\", got \"task\""),
        ("expect: {tasks: {main.a: {depth: 2}}}", "expected 2, got 1"),
        ("expect: {tasks: {main.a: {startedAt: 1s}}}", "11: expect.tasks['main.a'].startedAt: expected 1s, got 0s"),
        ("expect: {tasks: {main.a: {phases: [Created]}}}", 'got ["Created", "Ready", "Running", "Succeeded"]'),
        ("expect: {tasks: {main.a: {assignment: {timeout: 5s}}}}", ".assignment.timeout: expected 5s, got none"),
        ("expect: {tasks: {main.a: {assignment: {attempt: 2}}}}", ".assignment.attempt: expected 2, got 1"),
        ("expect: {tasks: {main: {assignment: {attempt: 2}}}}", ".assignment: no executor was given this task"),
        ("expect: {diagnostics: [{code: AE101}]}", '11: expect.diagnostics[0]: expected {"code": "AE101"}, got no diagnostics'),
        ("expect: {valid: false}", "11: expect.valid: expected a document that is refused, got one without errors"),
        ("drive: [{at: 1s, cancel: run}]\nexpect: {phase: Succeeded}", "11: drive[0].cancel: it was refused"),
        (
            "drive: [{at: 1s, cancel: run, refused: {contains: Failed}}]\nexpect: {phase: Succeeded}",
            '11: drive[0].refused: expected {"contains": "Failed"}, got',
        ),
    ],
)
def test_a_difference_fails_the_case_with_its_line(more: str, why: str) -> None:
    result = run(more)
    assert result.outcome == "failed"
    assert len(result.faults) == 1
    assert why in told(result)[0]


def test_values_are_compared_as_json() -> None:
    scripted = "executors: [{match: {task: a}, attempts: [{outputs: {n: 5.0, t: true, d: {x: 1, y: 2}, s: some text}}]}]\n"

    def outcome(expected: str) -> str:
        return run(f"{scripted}expect: {{tasks: {{main.a: {{outputs: {{{expected}}}}}}}}}").outcome

    assert outcome("n: 5") == "passed"
    assert outcome("t: 1") == "failed"
    assert outcome("d: {x: 1}") == "failed"
    assert outcome("s: {contains: ome te}") == "passed"
    assert outcome("s: {contains: more}") == "failed"
    assert outcome("t: {contains: r}") == "failed"


def test_all_differences_are_told_at_once() -> None:
    assert len(run("expect: {phase: Failed, taskCount: 9, elapsed: 1h}").faults) == 3


def test_absent_names_must_not_be_there() -> None:
    scripted = "executors: [{match: {task: a}, attempts: [{outputs: {x: 1}}]}]\n"
    assert told(run(f"{scripted}expect: {{tasks: {{main.a: {{absent: [x]}}}}}}")) == [
        "x.cases.yaml:12: expect.tasks['main.a'].absent[0]: expected no output 'x', got 1"
    ]


def test_outputs_of_the_run_are_whole() -> None:
    scripted = "executors: [{match: {path: main}, attempts: [{outputs: {x: 1, y: 2}}]}]\n"
    document = """
        document:
          apiVersion: aether/v1
          kind: Workflow
          metadata: {name: one}
          spec: {entrypoint: main, templates: [{task: {name: main, executor: {type: noop}}}]}
    """
    assert run(f"{scripted}expect: {{outputs: {{x: 1, y: 2}}}}", document).outcome == "passed"
    (why,) = told(run(f"{scripted}expect: {{outputs: {{x: 1}}}}", document))
    assert "expected no output 'y', got 2" in why


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ("executors: [{match: {path: main.x}, attempts: [{}]}]", "the document has no task at 'main.x' (did you mean 'main"),
        ("executors: [{match: {path: 'main.x*'}, attempts: [{}]}]", "the document has no task at 'main.x*'"),
        ("executors: [{match: {task: c}, attempts: [{}]}]", "the document has no task 'c'"),
        ("executors: [{match: {template: wrk}, attempts: [{}]}]", "no task template 'wrk' (did you mean 'work'?)"),
        ("drive: [{at: 1s, resume: {task: main.x}, refused: true}]", "the document has no task at 'main.x'"),
        ("drive: [{at: 1s, duplicate: main.x}]", "the document has no task at 'main.x'"),
    ],
)
def test_names_that_nothing_has_are_errors(more: str, why: str) -> None:
    result = run(f"{more}\nexpect: {{phase: Succeeded}}")
    assert result.outcome == "error"
    assert why in told(result)[0]


def test_a_result_that_never_came_cannot_come_twice() -> None:
    result = run(
        "executors: [{match: {task: a}, attempts: [{after: 1m}]}]\n"
        "drive: [{at: 1s, duplicate: main.a}]\nexpect: {phase: Succeeded}"
    )
    assert result.outcome == "error"
    assert told(result) == ["x.cases.yaml:12: task 'main.a' has returned nothing so far"]


def test_a_document_that_is_refused_is_an_error_where_a_run_was_meant() -> None:
    result = run("expect: {phase: Succeeded}", "\ndocumentText: 'kind: Workflow'\n")
    assert result.outcome == "error"
    assert "the document is refused, so nothing ran" in told(result)[0]
    assert "documentText:1:" in result.detail


def test_a_document_that_is_refused_passes_where_that_was_meant() -> None:
    assert run("expect: {valid: false, diagnostics: [{line: 1}]}", "\ndocumentText: 'kind: Workflow'\n").outcome == "passed"
    assert run("expect: {valid: true}", "\ndocumentText: 'kind: Workflow'\n").outcome == "failed"


def test_a_document_without_a_workflow_is_an_error_where_a_run_was_meant() -> None:
    template = """
        documentText: |
          apiVersion: aether/v1
          kind: WorkflowTemplate
          metadata: {name: lib}
          spec: {templates: [{task: {name: work, executor: {type: noop}}}]}
    """
    assert run("expect: {valid: true}", template).outcome == "passed"
    result = run("expect: {phase: Succeeded}", template)
    assert result.outcome == "error"
    assert "the document holds no workflow, but a case runs one" in told(result)[0]


def test_an_unknown_executor_type_is_fine_only_where_it_is_scripted() -> None:
    document = ONE_TASK.replace("noop", "submarine")
    everything = "executors: [{match: {path: 'main.*'}, attempts: [{outputs: {x: 1}}]}]\n"
    one = "executors: [{match: {task: a}, attempts: [{}]}]\n"
    assert run(f"{everything}expect: {{phase: Succeeded}}", document).outcome == "passed"
    assert run(f"{one}expect: {{phase: Succeeded}}", document).outcome == "error"
    assert run("expect: {valid: false}", document).outcome == "passed"
    assert run("expect: {valid: true, diagnostics: [{severity: warning}]}", document).outcome == "passed"


def test_a_secret_that_can_be_seen_fails_the_case() -> None:
    scripted = "executors: [{match: {task: a}, attempts: [{outputs: {told: 'the word is xyzzy!'}}]}]\n"
    result = run(f"{scripted}expect: {{hidden: [xyzzy, plugh]}}")
    assert result.outcome == "failed"
    assert [fault.message for fault in result.faults] == [
        "expect.hidden[0]: 'xyzzy' can be seen in \"the word is xyzzy!\""
    ]


def test_a_run_in_which_nothing_can_happen_any_more_fails_the_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aether_protocol.engine.timers.Timers.set", lambda *_: None)  # no timeout will save it
    result = run("executors: [{match: {task: a}, attempts: [{hang: true}]}]\nexpect: {tasks: {main.a: {phase: Running}}}")
    assert result.outcome == "failed"
    assert told(result) == ["x.cases.yaml:1: case: nothing can happen any more, and the run is Running"]
    assert "main.a: Running [0s to ...]" in result.detail


def test_a_run_that_breaks_is_an_error_of_its_case(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("aether_protocol.scheduler.machine.Machine.handle", broken)
    result = run("expect: {phase: Succeeded}")
    assert result.outcome == "error"
    assert "BrokenInvariant: RuntimeError: a bug" in told(result)[0]


def test_a_variable_source_cannot_take_a_namespace_of_the_protocol() -> None:
    result = run("variables: {tasks: {a: 1}}\nexpect: {valid: false}")
    assert result.outcome == "error"
    assert told(result) == ["x.cases.yaml:11: 'tasks' cannot be the namespace of a variable source"]


def test_iterations_are_matched_by_the_name_of_the_body_and_hooks_by_their_template() -> None:
    document = """
        document:
          apiVersion: aether/v1
          kind: Workflow
          metadata: {name: one}
          spec:
            entrypoint: each
            hooks: {onExit: {template: tell}}
            templates:
              - loop: {name: each, items: [1, 2], body: work}
              - task: {name: work, executor: {type: noop}}
              - task: {name: tell, executor: {type: noop}}
    """
    result = run(
        "executors:\n"
        "  - {match: {path: 'each[1]'}, attempts: [{outputs: {x: second}}]}\n"
        "  - {match: {task: work}, attempts: [{outputs: {x: first}}]}\n"
        "  - {match: {template: tell}, attempts: [{outputs: {x: told}}]}\n"
        "expect:\n"
        "  tasks: {'each[0]': {outputs: {x: first}}, 'each[1]': {outputs: {x: second}}}\n"
        "  hooks: [{hook: 'workflow:onExit', phase: Succeeded, outputs: {x: told}, startedAt: 0s}]\n"
        "  dispatched: ['each[0]', 'each[1]']",
        document,
    )
    assert result.outcome == "passed", explain(result)


def test_an_attempt_that_hangs_is_ended_by_the_workflows_timeout() -> None:
    result = run(
        "executors: [{match: {task: a}, attempts: [{hang: true}]}]\n"
        "expect: {phase: Timeout, elapsed: 1h, notRun: [main.b]}"
    )
    assert result.outcome == "passed", explain(result)


def test_outputs_of_a_script_are_filled_in_from_the_inputs() -> None:
    document = ONE_TASK.replace(
        "{name: a, template: work}", "{name: a, template: work, arguments: {parameters: [{name: n, value: [1, 2]}]}}"
    )
    outputs = "{whole: '{{inputs.parameters.n}}', text: 'n={{inputs.parameters.n[0]}}'}"
    scripted = f"executors: [{{match: {{task: a}}, attempts: [{{outputs: {outputs}}}]}}]\n"
    good = run(f"{scripted}expect: {{tasks: {{main.a: {{outputs: {{whole: [1, 2], text: n=1}}}}}}}}", document)
    assert good.outcome == "passed", explain(good)
    bad = run(f"{scripted}expect: {{phase: Error, message: {{contains: inputs.parameters.n}}}}")
    assert bad.outcome == "passed", explain(bad)


def test_a_program_that_never_ends_in_real_time_fails_the_case() -> None:
    document = ONE_TASK.replace("{type: noop}", "{type: script, config: {runtime: sh, source: sleep 600}}")
    (case,) = read_text(f"case: it{dedent(document)}expect: {{phase: Succeeded}}\n".encode(), "x.cases.yaml")
    result = run_case(case, real_limit_s=0.2)
    assert result.outcome == "failed"
    assert "more than 0.2 s of real time" in told(result)[0]


def test_real_programs_take_no_virtual_time_and_return_in_document_order() -> None:
    document = """
        document:
          apiVersion: aether/v1
          kind: Workflow
          metadata: {name: real}
          spec:
            entrypoint: main
            templates:
              - dag:
                  name: main
                  tasks:
                    - {name: slow, executor: {type: script, config: {runtime: sh, source: "sleep 0.1; exit 1"}}}
                    - {name: quick, executor: {type: script, config: {runtime: sh, source: "exit 1"}}}
    """
    result = run("expect: {phase: Failed, elapsed: 0s, message: {contains: 'slow: '}}", document)
    assert result.outcome == "passed", explain(result)


def test_what_programs_write_does_not_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    document = ONE_TASK.replace("{type: noop}", "{type: script, config: {runtime: sh, source: echo x > left-over}}")
    assert run("expect: {phase: Succeeded}", document).outcome == "passed"
    assert list(tmp_path.iterdir()) == []


def test_files_of_a_case_lie_beside_it(tmp_path: Path) -> None:
    (tmp_path / "w.yaml").write_text(dedent(ONE_TASK).replace("document:\n", "", 1).replace("\n  ", "\n").strip())
    result = run("documentFile: w.yaml\nexpect: {phase: Succeeded}", "\n", str(tmp_path / "x.cases.yaml"))
    assert result.outcome == "passed", explain(result)


def test_a_failing_case_shows_what_its_run_did() -> None:
    scripted = "executors: [{match: {task: a}, attempts: [{code: 2, message: no luck, after: 3s}]}]\n"
    result = run(f"{scripted}expect: {{phase: Succeeded}}")
    assert result.detail.splitlines() == [
        "the run: Failed (a: no luck)",
        "  main: Failed [0s to 3s] (a: no luck)",
        "    main.a: Failed [0s to 3s] (no luck)",
        "  not run: main.b",
    ]


def test_results_as_text_and_as_junit_xml() -> None:
    cases = read_text(
        "\n---\n".join(
            f"case: {name}{dedent(ONE_TASK)}expect: {expect}"
            for name, expect in (("good", "{phase: Succeeded}"), ("bad\\u0001", "{phase: Failed}"), ("ugly", "{}"))
        ).encode(),
        "x.cases.yaml",
    )
    results = [run_case(case) for case in cases]
    assert summary(results).startswith("1 passed, 1 failed, 1 error in ")
    shown = text(results)
    assert "FAILED x.cases.yaml:" in shown
    assert "ERROR x.cases.yaml:" in shown
    xml = junit_xml(results)
    assert '<testsuite name="aether" tests="3" failures="1" errors="1" skipped="0"' in xml
    assert xml.count("<testcase ") == 3
    assert "expect.phase: expected Failed, got Succeeded" in xml


def test_a_runner_that_breaks_is_an_error_of_the_case(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("no way")

    monkeypatch.setattr("aether_protocol.testing.cases.run.prepare", broken)
    result = run("expect: {phase: Succeeded}")
    assert result.outcome == "error"
    assert told(result) == ["x.cases.yaml:1: the case runner broke: RuntimeError: no way"]
    assert indent("raise RuntimeError", "    ") in result.detail


def test_every_field_of_an_assignment_can_be_asked_for() -> None:
    fields = (
        "protocol: aether/v1, taskRunId: {contains: .}, workflowRunId: {contains: a}, path: main.a, taskName: a, "
        "templateName: work, attempt: 1, retryCount: 0, executorType: boat, config: {x: 1}, inputs: {y: 2}, secrets: [], "
        "artifacts: {inputs: {}}, declaredOutputs: [], payloads: [], timeout: 5s, deadline: 1h, resources: {cpu: '1'}, "
        "priority: 500, idempotencyKey: {contains: .}, traceContext: null, hook: null"
    )
    scripted = "executors: [{match: {type: boat}, attempts: [{}]}]\n"
    document = ONE_TASK.replace(
        "- task: {name: work, executor: {type: noop}}",
        "- task: {name: work, timeout: 5s, resources: {cpu: '1'}, inputs: {parameters: [{name: y, value: 2}]}, "
        "executor: {type: boat, config: {x: 1, z: 2}}}",
    )
    result = run(f"{scripted}expect: {{tasks: {{main.a: {{assignment: {{{fields}}}}}}}}}", document)
    assert result.outcome == "passed", explain(result)
