"""Makes docs/reference/fields.md from the published schema: `python docs/fields_page.py`.

Law: fields, types, defaults and meanings are those of the definitions (through their schema); only which rule governs a part
and what the kinds of text look like in words stand here. A test compares the page with what this gives.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from aether_protocol.documents.definitions.fields import alias_of
from aether_protocol.documents.definitions.generate import DEFINITIONS, schema

PAGE = Path(__file__).parent / "reference" / "fields.md"

INTRODUCTION = """\
<!-- Made by docs/fields_page.py from aether_protocol/documents/definitions. Change those, then run it. -->
# Fields

Every field of a document, with its type, its default and the rules about it. The same table as JSON Schema, for editors, is
what `aether schema` prints. What the fields mean when a workflow runs is described in [the rules](../protocol.md), to which the
IDs refer. **Bold** fields must be there. A field that is not listed is an error (DOC-5), and so is an explicit `null` except
in `value`, `default` and the elements of lists and objects that are free.

A file holds one or several documents, each with these four fields (DOC-1, DOC-2):

| field | type | meaning |
|---|---|---|
| **`apiVersion`** | `aether/v1` | Version of the format. |
| **`kind`** | `Workflow`, `CronWorkflow` or `WorkflowTemplate` | Kind of document. |
| **`metadata`** | [Metadata](#metadata) | Who this document is. |
| **`spec`** | by its kind | What the document says. |

The spec of a Workflow is a [WorkflowSpec](#workflowspec), that of a CronWorkflow a [CronWorkflowSpec](#cronworkflowspec), that
of a WorkflowTemplate a [WorkflowTemplateSpec](#workflowtemplatespec).
"""

# In reading order: the part and the rules that govern it.
ORDER = {
    "Metadata": "DOC-3, DOC-4",
    "WorkflowSpec": "SPEC-10 to SPEC-15, SCHED-10, SCHED-11, TMPL-1",
    "CronWorkflowSpec": "SPEC-7",
    "WorkflowTemplateSpec": "SPEC-8, TMPL-1",
    "TemplateSpec": "SPEC-1",
    "Dag": "SPEC-2, SCHED-1 to SCHED-5",
    "Task": "SPEC-3, SCHED-3, SCHED-10",
    "TaskTemplate": "SPEC-3",
    "Loop": "SPEC-4, LOOP-1 to LOOP-7",
    "Aggregate": "LOOP-6",
    "ExecutorSpec": "SPEC-15, EXEC-1 to EXEC-5",
    "TemplateRef": "TMPL-1, TMPL-2",
    "WorkflowTemplateRef": "TMPL-1, TMPL-2",
    "Inputs": "DATA-1, DATA-3",
    "Outputs": "DATA-9, DATA-10, LOOP-6",
    "Arguments": "DATA-1, DATA-2",
    "Parameter": "SPEC-6, DOC-9, DATA-1, DATA-3",
    "ValueFrom": "SPEC-6, DATA-13",
    "SecretKeyRef": "DATA-12",
    "Artifact": "SPEC-6, ART-1 to ART-3",
    "ArtifactSourceSpec": "SPEC-6, ART-2",
    "ArchiveSpec": "ART-1, ART-2",
    "RetrySpec": "SPEC-5, SCHED-9",
    "Backoff": "SPEC-5, SCHED-9",
    "ContinueOnSpec": "SPEC-5, SCHED-1",
    "PhaseConditionsSpec": "SCHED-8, DATA-8",
    "Hooks": "HOOK-1 to HOOK-3",
    "Hook": "HOOK-2, SPEC-15",
    "ResourcesSpec": "SPEC-3, WIRE-1",
    "Extensions": "EXT-1",
    "CacheSettings": "EXT-1",
    "PlacementSettings": "EXT-1",
    "NotifySettings": "EXT-1",
    "RetentionSettings": "EXT-1",
    "UiSettings": "EXT-1",
}

# The kinds of text: what the grammar says in words.
TEXTS = {
    "Name": "1 to 63 lower-case letters, digits and inner hyphens (DOC-4).",
    "ValueName": "1 to 63 letters, digits, `_` and `-`, beginning with a letter or `_` (DOC-4).",
    "Namespace": "1 to 63 letters, digits, `.`, `_` and `-` (DOC-4).",
    "Duration": "Numbers with the units `d`, `h`, `m`, `s`, `ms`, larger units first; more than zero (DOC-8).",
    "Delay": "A duration that may be zero (DOC-8).",
    "SemVer": "A semantic version (DOC-3).",
    "Instant": "A date and time of RFC 3339 with its offset (SPEC-7).",
    "Schedule": "Five cron fields, or one of the @ names (SPEC-7).",
    "Zone": "A name of the IANA time zone database (SPEC-7).",
    "PlaceholderText": "One placeholder and nothing else (DATA-5).",
    "Word": "Text on one line, not empty.",
}


def page() -> str:
    """The whole page."""
    definitions = schema()["$defs"]
    assert set(definitions) == {*ORDER, *TEXTS}, sorted(set(definitions) ^ {*ORDER, *TEXTS})
    parts = [INTRODUCTION, *(section(name, definitions[name]) for name in ORDER), texts(definitions)]
    return "\n".join(parts)


def section(name: str, schema: dict[str, Any]) -> str:
    """One part: its description, what its fields demand of each other, its table."""
    lines = [f"## {name}\n", f"{schema['description']} Rules: {ORDER[name]}.\n"]
    lines += [f"{rule}\n" for rule in between(name)]
    lines += ["| field | type | default | meaning |", "|---|---|---|---|"]
    required = schema.get("required", ())
    for field, described in schema["properties"].items():
        shown = f"**`{field}`**" if field in required else f"`{field}`"
        lines.append(f"| {shown} | {kind(described)} | {default(described)} | {described['description']} |")
    return "\n".join(lines) + "\n"


def between(name: str) -> list[str]:
    """Rules over which fields are given."""
    model = DEFINITIONS[name]

    def spelled(names: tuple[str, ...]) -> str:
        return ", ".join(f"`{alias_of(model, one)}`" for one in names)

    rules = ["Keys with a dot belong to other programs and are kept as they are."] if model.dotted else []
    if model.one_of:
        rules.append(f"Exactly one of {spelled(model.one_of)} is given.")
    rules += [f"{spelled((one,))} needs {spelled(others)}." for one, others in model.needs.items()]
    rules += [f"{spelled((one,))} rules out {spelled(others)}." for one, others in model.excludes.items()]
    return rules


def kind(schema: dict[str, Any]) -> str:
    """A type in words, with links."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower() if name in ORDER else 'kinds-of-text'})"
    if "then" in schema:
        return f"{kind(schema['then'])} or {kind(schema['else'])}"
    if "enum" in schema:
        return ", ".join(f"`{one}`" for one in schema["enum"])
    type_ = schema.get("type", "any")
    if type_ == "array":
        some = ", at least one" if schema.get("minItems") else ""
        return f"list of {kind(schema['items'])}{some}"
    if type_ == "object":
        values = schema.get("additionalProperties")
        return f"object of {kind(values)}" if isinstance(values, dict) and values else "object"
    return str(type_) + bounds(schema)


def bounds(schema: dict[str, Any]) -> str:
    least, most = schema.get("minimum"), schema.get("maximum")
    if least is None:
        return ""
    return f", {least:g} or more" if most is None else f", {least:g} to {most:g}"


def default(schema: dict[str, Any]) -> str:
    return f"`{json.dumps(schema['default'])}`" if "default" in schema else ""


def texts(definitions: dict[str, Any]) -> str:
    """The kinds of text."""
    lines = ["## Kinds of text\n", "| kind | what it is | examples |", "|---|---|---|"]
    for name, meaning in TEXTS.items():
        examples = ", ".join(f"`{one}`" for one in definitions[name].get("examples", ()))
        lines.append(f"| {name} | {meaning} | {examples} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
