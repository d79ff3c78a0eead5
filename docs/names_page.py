"""Makes the table of names in docs/reference/expressions.md from the table that the checks read: `python docs/names_page.py`.

Which names are visible where stands in aether_protocol/compiler/name_scopes.py; only words stand here. A test compares the page
with what this gives.
"""

from __future__ import annotations

from pathlib import Path

from aether_protocol.compiler import name_scopes as places
from aether_protocol.compiler.name_scopes import FIELDS, MORE, PLACES, TextPlace

PAGE = Path(__file__).parent / "reference" / "expressions.md"
START = "<!-- names: made by docs/names_page.py from aether_protocol/compiler/name_scopes.py; a test keeps it equal -->"
END = "<!-- /names -->"

INPUTS = {
    "": "",
    "dag": "the dag",
    "loop": "the loop",
    "task": "the task",
    "task, dag": "the task, else the dag",
    "unknown": "as the task's own",
}
TASKS = {"": "", "dag": "the dag", "caller": "the dag that calls the loop", "unknown": "as the task's own"}

NOTES = """\
SELF is the name of the call, in a loop that of the body; BODY is the name of the body. `tasks.SELF.*` is how the attempt ended,
`tasks.BODY.*` the iteration that has just ended. `hook.*` is seen where the template runs as a hook. Every name continues into
its value with `.FIELD` and `[i]`."""


def section() -> str:
    """The table between its two marks, and what is visible everywhere."""
    workflow = [f"workflow.{field}" for field in FIELDS["workflow"] if not field.startswith(("parameters", "arguments"))]
    system = [f"system.{field}" for field in FIELDS["system"]]
    lines = [
        START,
        "",
        "Visible everywhere:",
        "",
        f"- {_quoted(workflow)}: of the run; `scheduledTime` is null outside of a schedule",
        "- `workflow.parameters.P` (also `workflow.arguments.parameters.P`): a parameter of the run; `workflow.parameters` "
        "alone is the object of all",
        f"- {_quoted(system)}: of the machine; what variable sources add under namespaces of their own",
        "",
        "Visible by place (`inputs.parameters` alone is the object of all inputs there):",
        "",
        "| place | `inputs.*` of | `tasks.T.*` of | more |",
        "|---|---|---|---|",
        *(_row(place) for place in PLACES),
        "",
        NOTES,
        "",
        "| names | fields |",
        "|---|---|",
        f"| `tasks.T` | {_quoted(FIELDS['task'])} |",
        "| `iterator` | `item` and `index` (also `loop_iter.item`, `loop_iter.FIELD`, `loop_iter.index`); with "
        "`repeatCondition` `index` and `previous.outputs.parameters.P` |",
        f"| `hook` | {_quoted(f for f in FIELDS['hook'] if '.' not in f)} |",
        f"| `hook.workflow` | {_quoted(FIELDS['hook.workflow'])} |",
        f"| `hook.trigger` | {_quoted(FIELDS['hook.trigger'])} |",
        "",
        END,
    ]
    return "\n".join(lines)


def _row(place: TextPlace) -> str:
    more = _quoted(name for key, names in MORE.items() if key in place.more for name in names)
    return f"| {place.texts} | {INPUTS[place.inputs]} | {TASKS[place.tasks]} | {more} |"


def _quoted(names: object) -> str:
    return ", ".join(f"`{name}`" for name in names)  # type: ignore[attr-defined]


def page() -> str:
    """The whole page, with the table as it should be."""
    before, _, rest = PAGE.read_text("utf-8").partition(START)
    return f"{before}{section()}{rest.partition(END)[2]}"


assert set(MORE) == {value for place in PLACES for value in place.more}, places.__name__

if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
