"""What a newcomer gets wrong first, and the remedy that the finding names (DOC-7)."""

from __future__ import annotations

import pytest

from aether_protocol.compiler.compile import compile_document
from aether_protocol.documents.load import load_bytes

HEAD = "apiVersion: aether/v1\nkind: Workflow\nmetadata: {name: w}\nspec:\n  entrypoint: main\n"
TASK = "    - task: {name: main, executor: {type: noop}}\n"
ECHO = "    - task: {name: main, executor: {type: echo, config: {outputs: [{name: a, value: %s}]}}}\n"
LOOP = """\
    - loop: {name: main, body: t, items: [1, 2], arguments: {parameters: [{name: x, value: "%s"}]}}
    - task: {name: t, inputs: {parameters: [{name: x}]}, executor: {type: noop}}
"""
ROWS: dict[str, tuple[str, str]] = {
    "a bare placeholder": (
        HEAD + "  templates:\n" + ECHO % "{{workflow.name}}",
        'w.yaml:7 AE106 put a placeholder in quotes: "{{NAME}}"',
    ),
    "a key that is a list": (HEAD + "  templates:\n" + ECHO % "{[a]: 1}", "w.yaml:7 AE106 keys are text"),
    "a colon in a text": (
        HEAD + "  templates:\n    - task:\n        name: a: b\n",
        "w.yaml:8 AE101 put a text that holds ': ' in quotes, or write it as a block after `|`; or check the indentation",
    ),
    "a number for a duration": (
        HEAD + "  timeout: 10\n  templates:\n" + TASK,
        "w.yaml:6 AE122 write it as 30s, 5m, 1h30m or 500ms; more than zero",
    ),
    "a number for a mapping": (
        HEAD + "  retry: 3\n  templates:\n" + TASK,
        "w.yaml:6 AE122 give it fields: limit, expression, backoff",
    ),
    "a text for a mapping": (
        HEAD + "  templates:\n    - task: {name: main, executor: noop}\n",
        "w.yaml:7 AE122 give it fields: type, config",
    ),
    "a mapping for a list": (
        HEAD + "  templates:\n    - dag: {name: main, tasks: {a: {executor: {type: noop}}}}\n",
        "w.yaml:7 AE122 write it as a list: each entry begins with `- `",
    ),
    "too little indentation": (
        HEAD + "  templates:\n    - task:\n",
        "w.yaml:7 AE122 give it a value (indented further than the field), or leave the field out",
    ),
    "no version": ((HEAD + "  templates:\n" + TASK).split("\n", 1)[1], "w.yaml:1 AE121 write apiVersion: aether/v1"),
    "text alone": ("hello\n", "w.yaml:1 AE128 it begins with apiVersion: aether/v1"),
    "a sum in a placeholder": (
        HEAD + "  templates:\n" + ECHO % "'{{workflow.name + 1}}'",
        "w.yaml:7 AE302 a placeholder holds one name; to compute, use valueFrom.expression",
    ),
    "an item by its foreign name": (
        HEAD + "  templates:\n" + LOOP % "{{ item }}",
        "w.yaml:7 AE912 did you mean 'iterator.item'?",
    ),
    "a field of that item": (HEAD + "  templates:\n" + LOOP % "{{item.id}}", "w.yaml:7 AE912 did you mean 'iterator.item'?"),
}


@pytest.mark.rule("DOC-7")
@pytest.mark.parametrize("row", ROWS)
def test_the_remedy(row: str) -> None:
    text, expected = ROWS[row]
    file = load_bytes(text.encode(), "w.yaml")
    found = list(file.diagnostics)
    for document in file.documents if not found else ():
        found += compile_document(document).diagnostics
    assert f"{found[0].file}:{found[0].line} {found[0].code} {found[0].hint}" == expected


@pytest.mark.rule("DATA-6")
def test_an_item_that_means_nothing_here_belongs_to_the_script() -> None:
    [document] = load_bytes((HEAD + "  templates:\n" + ECHO % "'{{item}} {{item.name}}'").encode(), "w.yaml").documents
    assert compile_document(document).diagnostics == ()
