"""The rule IDs of the protocol: what a case's `rules` and a test's `@pytest.mark.rule(...)` may name.

Law: this table is the only list of the protocol's rules in the code. What this runtime decided where the protocol is silent
has IDs of its own (RT-1 and so on, docs/protocol.md); they may be named, but they do not count as uncovered.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

_TITLES: Final = {
    "DOC-1": "files hold YAML or JSON documents, and one of them is run",
    "DOC-2": "the envelope: apiVersion, kind, metadata, spec",
    "DOC-3": "metadata: name, namespace, version, labels, annotations",
    "DOC-4": "what names look like, and that no two inputs become one environment variable",
    "DOC-5": "unknown fields and duplicate keys are errors",
    "DOC-6": "limits, and no crash whatever the bytes",
    "DOC-7": "diagnostics have code, severity, message, path and position",
    "DOC-8": "the grammar of durations",
    "DOC-9": "parameter types and their aliases",
    "DOC-10": "plain scalars keep their spelling where text is meant",
    "SPEC-1": "a template is a dag, a task or a loop",
    "SPEC-2": "the fields of a dag",
    "SPEC-3": "the fields of a task, at a call and in a definition",
    "SPEC-4": "the fields of a loop",
    "SPEC-5": "the fields of retry and continueOn",
    "SPEC-6": "the fields of parameters and artifacts",
    "SPEC-7": "the fields of a CronWorkflow",
    "SPEC-8": "the spec of a WorkflowTemplate",
    "SPEC-10": "what is referred to exists",
    "SPEC-11": "dependencies have no cycle, and a cycle is named",
    "SPEC-12": "nesting stays within maxNestedDepth",
    "SPEC-13": "required inputs get arguments of the right type; only dependencies' outputs are read",
    "SPEC-14": "expressions and placeholders parse and resolve",
    "SPEC-15": "hooks call tasks; executor types and their config are known",
    "DATA-1": "where an input's value comes from",
    "DATA-2": "undeclared arguments are passed on",
    "DATA-3": "bound values fit type and enum",
    "DATA-4": "which names are visible where",
    "DATA-5": "placeholders in text and values",
    "DATA-6": "known and unknown namespaces",
    "DATA-7": "expressions",
    "DATA-8": "conditions give a boolean",
    "DATA-9": "the outputs of a task",
    "DATA-10": "the outputs of a dag",
    "DATA-11": "the outputs of the workflow",
    "DATA-12": "secrets are seen by executors only",
    "DATA-13": "absent values",
    "DATA-14": "workflow parameters at submission",
    "SCHED-1": "when a dag task is ready",
    "SCHED-2": "entrypoints cut a dag down",
    "SCHED-3": "a false when skips",
    "SCHED-4": "tasks behind an untolerated failure never start",
    "SCHED-5": "how a dag ends, and with which phase and message",
    "SCHED-6": "the phases of containers and of the run",
    "SCHED-7": "the codes of executors",
    "SCHED-8": "phaseConditions override a phase",
    "SCHED-9": "retries",
    "SCHED-10": "timeouts of tasks, containers and the workflow",
    "SCHED-11": "priority where a broker queues",
    "SCHED-12": "late, repeated and unknown results change nothing",
    "SCHED-13": "the cost of an event does not grow with the run",
    "LOOP-1": "iterations, their order and concurrency",
    "LOOP-2": "itemsFrom gives an array",
    "LOOP-3": "more items than maxIterations is an error",
    "LOOP-4": "a loop over nothing",
    "LOOP-5": "repeatCondition",
    "LOOP-6": "aggregate and the outputs of a loop",
    "LOOP-7": "items fill the inputs of the body",
    "CTRL-1": "a suspended task waits while the rest continues",
    "CTRL-2": "resume",
    "CTRL-3": "cancel",
    "CTRL-4": "retry of an ended run",
    "HOOK-1": "which hooks fire, when and in which order",
    "HOOK-2": "what a hook gets",
    "HOOK-3": "hooks change nothing and block nothing",
    "CRON-1": "fire times",
    "CRON-2": "when nothing fires",
    "CRON-3": "late fires",
    "CRON-4": "concurrencyPolicy",
    "CRON-5": "history limits",
    "CRON-6": "schedules are durable",
    "TMPL-1": "WorkflowTemplates: workflowTemplateRef and templateRef",
    "TMPL-2": "where WorkflowTemplates are looked up",
    "WIRE-1": "the TaskAssignment",
    "WIRE-2": "the TaskResult",
    "EXEC-1": "echo",
    "EXEC-2": "noop, sleep, await, fail",
    "EXEC-3": "script and process",
    "EXEC-4": "function",
    "EXEC-5": "http",
    "ART-1": "output artifacts",
    "ART-2": "input artifacts",
    "ART-3": "names of artifacts",
    "ART-4": "workspaces of attempts",
    "EXT-1": "extensions",
}

RULES: Final[Mapping[str, str]] = MappingProxyType(_TITLES)

_OWN: Final = re.compile(r"RT-[1-9][0-9]*")


def is_own(rule: str) -> bool:
    """Whether this is the ID of a decision of this runtime."""
    return _OWN.fullmatch(rule) is not None
