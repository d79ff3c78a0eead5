"""Secrets in expressions, where it can be seen that a name is one (DATA-12).

Law: a parameter that comes from a secretKeyRef travels as a reference; no expression ever sees the text.
"""

from __future__ import annotations

from collections.abc import Mapping

from aether_protocol.documents.models import Parameter
from aether_protocol.expressions import Name
from aether_protocol.plan.findings import Fault
from aether_protocol.plan.names import Scope


def secret_fault(name: Name, scope: Scope, parameters: Mapping[str, Parameter]) -> Fault | None:
    """The fault of `name` in an expression at `scope`, if it is a secret."""
    segments = name.segments
    root = segments[0]
    entry: Parameter | None = None
    if root == "inputs" and len(segments) > 2 and segments[1] == "parameters":
        entry = next((s.inputs[segments[2]] for s in scope.inputs if segments[2] in s.inputs), None)  # type: ignore[index]
    elif root == "workflow":
        at = 2 if len(segments) > 3 and segments[1] == "arguments" else 1
        if len(segments) > at + 1 and segments[at] == "parameters":
            wanted = segments[at + 1]
            entry = parameters.get(wanted)  # type: ignore[arg-type]
            for unit in scope.units if entry is None else ():
                entry = entry or unit.parameters.get(wanted)  # type: ignore[arg-type]
    if entry is None or entry.value is not None or entry.value_from is None or entry.value_from.secret_key_ref is None:
        return None
    message = f"{name.text!r} is a secret, which an expression may not use"
    return Fault("AE310", message, "hand it on by valueFrom.parameter or put it into text with a placeholder")
