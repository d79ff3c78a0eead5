"""Which names may stand where: the table of DATA-4 as data.

Law: a place is a row of `PLACES`; the rules of names (name_rules.py) read it and have no list of places of their own. `inputs`
and `tasks` say whose are seen; `more` what else.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

# what `more` may hold
PHASE: Final = "phase"  # how it ended: phase, msg
CODE: Final = "code"  # the executor's code
OUTPUTS: Final = "outputs"  # outputs.parameters.P of what has ended
SELF: Final = "self"  # the same as tasks.SELF.*
DAG: Final = "dag"  # dag.succeeded, dag.failed, dag.total
LOOP: Final = "loop"  # loop.succeeded, loop.failed, loop.total
ITERATOR: Final = "iterator"  # iterator.item, iterator.index, iterator.previous
INDEX: Final = "index"  # loop_iter.index alone
BODY: Final = "body"  # tasks.BODY of the finished iteration
HOOK: Final = "hook"  # hook.*


class TextPlace(Struct, frozen=True):
    """A row. `inputs` are those of the task, of the dag or the loop around the text, or none; `tasks` those of the dag around
    it (`dag`), of the dag that calls the loop around it (`caller`), or none. `unknown`: the text serves many places.
    `title` is for messages, `texts` says for the reference which texts stand there.
    """

    title: str
    texts: str
    inputs: str = ""
    tasks: str = ""
    more: frozenset[str] = frozenset()


CALL: Final = TextPlace(
    "the call of a dag's task",
    "`when` and `arguments` of a task in a dag, and what is declared for the inputs that it calls (`value`, `valueFrom`)",
    inputs="dag",
    tasks="dag",
)
BODY_CALL: Final = TextPlace(
    "the arguments of a loop",
    "`arguments` of a loop, and what is declared for the inputs of its body",
    inputs="loop",
    tasks="caller",
    more=frozenset({ITERATOR}),
)
ROOT_CALL: Final = TextPlace(
    "an input of the entrypoint",
    "what is declared for an input of the entrypoint",
)
HOOK_CALL: Final = TextPlace(
    "an input of a hook",
    "what is declared for an input of a hook's template",
    more=frozenset({HOOK}),
)
CONFIG: Final = TextPlace(
    "the config of a task template",
    "`executor.config` of a task template",
    inputs="task",
    more=frozenset({HOOK}),
)
INLINE_CONFIG: Final = TextPlace(
    "the config of a task",
    "`executor.config` of a task in a dag",
    inputs="task, dag",
    tasks="dag",
)
OUTCOME: Final = TextPlace(
    "a condition of a task template",
    "`retry.expression`, `phaseConditions` and declared outputs of a task template, also where a call sets them",
    inputs="task",
    more=frozenset({PHASE, CODE, OUTPUTS, SELF, HOOK}),
)
INLINE_OUTCOME: Final = TextPlace(
    "a condition of a task",
    "the same of a task in a dag with an executor of its own",
    inputs="task, dag",
    tasks="dag",
    more=frozenset({PHASE, CODE, OUTPUTS, SELF}),
)
ITEMS: Final = TextPlace(
    "the items of a loop",
    "`items`, `itemsFrom` of a loop",
    inputs="loop",
    tasks="caller",
)
REPEAT: Final = TextPlace(
    "a repeatCondition",
    "`repeatCondition` of a loop",
    inputs="loop",
    tasks="caller",
    more=frozenset({INDEX, BODY}),
)
DAG_OUTPUTS: Final = TextPlace(
    "an output of a dag",
    "`outputs` of a dag",
    inputs="dag",
    tasks="dag",
)
DAG_CONDITIONS: Final = TextPlace(
    "a condition of a dag",
    "`phaseConditions` of a dag",
    inputs="dag",
    tasks="dag",
    more=frozenset({PHASE, OUTPUTS, DAG}),
)
LOOP_OUTPUTS: Final = TextPlace(
    "an output of a loop",
    "`outputs` of a loop",
    inputs="loop",
    more=frozenset({OUTPUTS, LOOP}),
)
LOOP_CONDITIONS: Final = TextPlace(
    "a condition of a loop",
    "`phaseConditions` of a loop",
    inputs="loop",
    more=frozenset({PHASE, OUTPUTS, LOOP}),
)
WORKFLOW: Final = TextPlace(
    "a parameter of the workflow",
    "`spec.arguments`: a parameter sees those declared above it",
)
DEFAULT_RETRY: Final = TextPlace(
    "the default retry",
    "`spec.retry.expression`, judged for each task that it serves",
    inputs="unknown",
    tasks="unknown",
    more=frozenset({PHASE, CODE, OUTPUTS}),
)

PLACES: Final = (
    CALL,
    BODY_CALL,
    ROOT_CALL,
    HOOK_CALL,
    CONFIG,
    INLINE_CONFIG,
    OUTCOME,
    INLINE_OUTCOME,
    ITEMS,
    REPEAT,
    DAG_OUTPUTS,
    DAG_CONDITIONS,
    LOOP_OUTPUTS,
    LOOP_CONDITIONS,
    WORKFLOW,
    DEFAULT_RETRY,
)

# Fields of the names whose fields are all known.
FIELDS: Final[dict[str, tuple[str, ...]]] = {
    "workflow": ("name", "id", "namespace", "createdAt", "scheduledTime", "parameters", "arguments.parameters"),
    "system": ("os", "arch"),
    "task": ("phase", "code", "msg", "outputs.parameters.NAME", "outputs.artifacts.NAME"),
    "counters": ("succeeded", "failed", "total"),
    "hook": ("event", "scope", "workflow.NAME", "trigger.NAME"),
    "hook.workflow": ("name", "id", "phase", "duration", "parameters.NAME", "outputs.NAME"),
    "hook.trigger": ("node", "phase", "code", "msg"),
}

# What `more` means, for the reference.
MORE: Final[dict[str, tuple[str, ...]]] = {
    PHASE: ("phase", "msg"),
    CODE: ("code",),
    OUTPUTS: ("outputs.parameters.P",),
    SELF: ("tasks.SELF.*",),
    DAG: tuple(f"dag.{field}" for field in FIELDS["counters"]),
    LOOP: tuple(f"loop.{field}" for field in FIELDS["counters"]),
    ITERATOR: ("iterator.*",),
    INDEX: ("loop_iter.index",),
    BODY: ("tasks.BODY.*",),
    HOOK: ("hook.*",),
}
