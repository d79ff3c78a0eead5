"""What stands behind `-p`, `--params-file` and `--resume`: text becomes values (DATA-14).

Law: text is read as JSON where it is JSON and the declared type is not string; it never becomes anything that JSON has
not. Every refusal is a UsageError that names the option.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import NoReturn

from aether_protocol.errors import UsageError
from aether_protocol.expressions.values import Json

WORDS = {
    "yes": {"approved": True},
    "y": {"approved": True},
    "approve": {"approved": True},
    "no": {"approved": False},
    "n": {"approved": False},
    "reject": {"approved": False},
    "": {},
}


def read_parameters(pairs: Sequence[str], types: Mapping[str, str]) -> dict[str, Json]:
    """`name=value` pairs as values, by the declared `types`; the last one of a name wins."""
    values: dict[str, Json] = {}
    for pair in pairs:
        name, sign, text = pair.partition("=")
        if not sign or not name:
            raise UsageError(f"-p {pair!r} is not name=value", hint="for example: -p rows=5 -p region=east")
        values[name] = text if types.get(name) == "string" else read_value(text)
    return values


def read_value(text: str) -> Json:
    """`text` as JSON where it is JSON, else as it stands."""
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return text


def read_payload(text: str) -> dict[str, Json] | None:
    """An answer to a suspended task: a JSON object, yes or no; None where it is neither."""
    word = text.strip().lower()
    if word in WORDS:
        return dict(WORDS[word])
    value = read_value(text)
    return value if isinstance(value, dict) else None


def read_answers(texts: Sequence[str]) -> dict[str, list[dict[str, Json]]]:
    """`--resume task=payload` options by task, in the order given: one answer for each time that it suspends."""
    answers: dict[str, list[dict[str, Json]]] = {}
    for text in texts:
        task, _, answer = text.partition("=")
        payload = read_payload(answer)
        if not task or payload is None:
            raise UsageError(
                f"--resume {text!r} is not task=payload",
                hint="""the payload is a JSON object, yes or no: --resume 'main.approve={"approved": true}'""",
            )
        answers.setdefault(task, []).append(payload)
    return answers


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
