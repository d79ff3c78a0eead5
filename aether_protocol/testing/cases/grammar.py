"""The grammar of case files: which fields there are and what each may hold.

Law: the fields stand in these tables and nowhere else; whatever no table names is a fault.
"""

from __future__ import annotations

from typing import Final

from aether_protocol.diagnostics import CODES
from aether_protocol.documents.source import DocumentLimits
from aether_protocol.scheduler.transitions import Phase
from aether_protocol.testing.cases.fields import (
    ObjectCheck,
    anything,
    boolean,
    duration,
    either,
    file_path,
    hook_name,
    instant,
    integer,
    kind,
    list_of,
    map_of,
    mapping,
    matcher,
    one_of,
    only,
    store,
    task_path,
    text,
    word,
)
from aether_protocol.testing.cases.rules import RULES

phase: Final = one_of(Phase, "phase")
values: Final = map_of(anything, filled=True)  # names and values of which those given are compared

MATCH: Final = ObjectCheck({"path": word, "task": word, "template": word, "type": word}, filled=True)

ATTEMPT: Final = ObjectCheck(
    {
        "code": integer(),
        "message": text,
        "outputs": mapping,
        "files": map_of(text, key=file_path),
        "after": duration,
        "hang": only(True),
        "suspend": only(True),
        "raise": word,
    }
)

SCRIPT: Final = ObjectCheck(
    {"match": MATCH, "attempts": list_of(ATTEMPT, filled=True)},
    required=("match", "attempts"),
)

RESULT: Final = ObjectCheck(
    {
        "task": task_path,
        "attempt": integer(1),
        "code": integer(),
        "message": text,
        "outputs": mapping,
    },
    required=("task",),
)

REFUSED: Final = either(boolean=only(True), string=word, object=matcher)

DRIVE: Final = ObjectCheck(
    {
        "at": duration,
        "resume": ObjectCheck({"task": task_path, "payload": mapping}, required=("task",)),
        "cancel": only("run"),
        "crash": only("engine"),
        "duplicate": task_path,
        "result": RESULT,
        "retry": ObjectCheck({"from": task_path}),
        "refused": REFUSED,
    },
    required=("at",),
    one=("resume", "cancel", "crash", "duplicate", "result", "retry"),
)

DIAGNOSTIC: Final = ObjectCheck(
    {
        "code": one_of(CODES, "code of a diagnostic"),
        "severity": one_of(("error", "warning"), "severity"),
        "message": matcher,
        "path": matcher,
        "file": matcher,
        "line": integer(1),
        "column": integer(1),
        "hint": matcher,
    },
    filled=True,
)

_ASSIGNED_TEXTS: Final = (
    "protocol",
    "taskRunId",
    "workflowRunId",
    "path",
    "taskName",
    "templateName",
    "executorType",
    "idempotencyKey",
)

ASSIGNMENT: Final = ObjectCheck(  # the fields of ports.wire_json
    {
        **dict.fromkeys(("config", "inputs", "artifacts", "resources", "placement"), either(object=values, null=anything)),
        **dict.fromkeys(("timeout", "deadline"), either(string=word, null=anything)),
        **dict.fromkeys(("attempt", "epoch", "retryCount", "priority"), integer(0)),
        **dict.fromkeys(("secrets", "declaredOutputs", "payloads"), kind("array")),
        **dict.fromkeys(_ASSIGNED_TEXTS, matcher),
        **dict.fromkeys(("traceContext", "hook"), either(string=word, null=anything)),
    },
    filled=True,
)

TASK: Final = ObjectCheck(
    {
        "phase": phase,
        "type": one_of(("dag", "task", "loop"), "type of a template"),
        "depth": integer(0),
        "retries": integer(0),
        "inputs": values,
        "outputs": values,
        "message": matcher,
        "startedAt": duration,
        "endedAt": duration,
        "phases": list_of(phase, filled=True),
        "absent": list_of(text, filled=True),
        "assignment": ASSIGNMENT,
    },
    filled=True,
)

HOOK: Final = ObjectCheck(
    {
        "hook": hook_name,
        "phase": phase,
        "message": matcher,
        "inputs": values,
        "outputs": values,
        "startedAt": duration,
        "endedAt": duration,
        "assignment": ASSIGNMENT,
    },
    required=("hook",),
)

CRON: Final = ObjectCheck(
    {
        "until": duration,
        "downtime": list_of(ObjectCheck({"from": duration, "to": duration}, required=("from", "to"))),
        "schedulers": integer(1),
        "changes": list_of(
            ObjectCheck(
                {"at": duration, "set": map_of(anything, filled=True), "refused": REFUSED},
                required=("at", "set"),
            )
        ),
    },
    required=("until",),
)

KEPT_RUN: Final = ObjectCheck(
    {"phase": phase, "message": matcher, "outputs": values, "fire": instant, "elapsed": duration, "taskCount": integer(0)},
    filled=True,
)

SKIP: Final = ObjectCheck({"time": instant, "reason": matcher}, required=("time",))

EXPECT: Final = ObjectCheck(
    {
        "valid": boolean,
        "diagnostics": list_of(DIAGNOSTIC, filled=True),
        "phase": phase,
        "message": matcher,
        "outputs": mapping,
        "elapsed": duration,
        "taskCount": integer(0),
        "tasks": map_of(TASK, key=task_path, filled=True),
        "notRun": list_of(task_path),
        "dispatched": list_of(task_path),
        "maxParallel": map_of(integer(0), key=task_path, filled=True),
        "hooks": list_of(either(string=hook_name, object=HOOK)),
        "hidden": list_of(word, filled=True),
        "fires": list_of(instant),
        "runs": list_of(KEPT_RUN),
        "skips": list_of(SKIP),
    },
    filled=True,
)

DOCUMENT_FIELDS: Final = ("document", "documentFile", "documentText", "documentBase64")


LIMITS: Final = DocumentLimits.__struct_fields__  # DOC-6

CASE: Final = ObjectCheck(
    {
        "case": word,
        "rules": list_of(one_of(RULES, "rule")),
        "document": anything,
        "documentFile": word,
        "documentText": text,
        "documentBase64": text,
        "library": list_of(either(object=anything, string=word)),
        "arguments": mapping,
        "secrets": map_of(map_of(text)),
        "variables": map_of(mapping),
        "limits": ObjectCheck(dict.fromkeys(LIMITS, integer(1))),
        "concurrency": integer(1),
        "now": instant,
        "store": store,
        "executors": list_of(SCRIPT),
        "drive": list_of(DRIVE),
        "cron": CRON,
        "expect": EXPECT,
    },
    required=("case", "expect"),
    one=DOCUMENT_FIELDS,
)
