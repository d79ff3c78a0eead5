"""`echo`: returns what it is given (EXEC-1), and fails or suspends on request. For tests and examples.

Law: a control comes as an input or in the config; an input wins. First it suspends, then it fails, then it gives
outputs: an attempt that does not succeed gives none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from aether_protocol.expressions.values import Json, type_name
from aether_protocol.plan.config_fields import ConfigField
from aether_protocol.plan.executors import ExecutorType, OutputField
from aether_protocol.ports.executor import ExecutionContext, Mode
from aether_protocol.ports.wire import ERROR, TaskAssignment, TaskResult

TYPE = ExecutorType(
    "echo",
    "Gives every input back as an output of the same name. Made for tests and examples: it can also invent outputs, "
    "fail a number of times and suspend.",
    config=(
        ConfigField(
            "outputs",
            "array",
            "Outputs to add or to override: objects with `name`, `type` (optional) and `value`. Without `value` the "
            "input of that name stays, or the empty value of the type is given.",
            items="object",
        ),
        ConfigField(
            "failCount", "integer", "End Failed while the task was retried fewer times than this.", default=0, minimum=0
        ),
        ConfigField("fail-count", "integer", "Another spelling of `failCount`.", minimum=0),
        ConfigField("suspend", "boolean", "Suspend first and go on when resumed.", default=False),
    ),
    outputs=(OutputField("<input>", "any", "Each input that is not a control (`outputs`, `fail-count`, `suspend`)."),),
    open_outputs=True,
)

CONTROLS: Final = frozenset({"outputs", "fail-count", "suspend"})

# The value that stands for "nothing" in each type (DOC-9, aliases included).
_EMPTY: Final[Mapping[str, Json]] = {
    "string": "",
    "integer": 0,
    "int": 0,
    "number": 0,
    "float": 0,
    "boolean": False,
    "bool": False,
    "object": {},
    "array": [],
    "any": None,
}


class EchoExecutor:
    type: ExecutorType = TYPE
    mode: Mode = "inline"

    def execute(self, task: TaskAssignment, context: ExecutionContext) -> TaskResult:
        inputs = task.inputs
        config = task.config or {}
        try:
            if _control(inputs, config, "suspend", "boolean", False) and not task.payloads:
                return task.suspend("waiting for a resume")
            fail_count = _control(inputs, config, "fail-count", "integer", 0)
            if task.retry_count < fail_count:
                return task.fail(f"failed as asked ({task.retry_count + 1} of {fail_count})")
            outputs = {name: value for name, value in inputs.items() if name not in CONTROLS}
            for position, entry in enumerate(_control(inputs, config, "outputs", "array", [])):
                name, value = _output(entry, position, outputs)
                outputs[name] = value
        except ValueError as error:
            return task.fail(str(error), ERROR)
        return task.succeed(**outputs)


def _control(inputs: Mapping[str, Json], config: Mapping[str, Json], name: str, type_: str, default: Json) -> Json:
    """The control's value from the inputs, else from the config, else `default`; null counts as not given."""
    value = inputs.get(name)
    if value is None:
        value = config.get(name)
    if value is None and name == "fail-count":
        value = config.get("failCount")
    if value is None:
        return default
    if type_name(value) != type_:
        raise ValueError(f"echo's control {name!r} must be of type {type_}, not {type_name(value)}")
    return value


def _output(entry: Json, position: int, outputs: Mapping[str, Json]) -> tuple[str, Json]:
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise ValueError(f"echo's outputs[{position}] must be an object with a 'name'")
    name = entry["name"]
    type_ = entry.get("type", "any")
    if not isinstance(type_, str) or type_ not in _EMPTY:
        raise ValueError(f"echo's outputs[{position}] has the unknown type {type_!r}")
    if "value" in entry:
        return name, entry["value"]
    return name, outputs.get(name, _EMPTY[type_])
