"""What stands behind `-p` and `--resume`: text becomes values.

Law: every refusal is a UsageError that names the option and shows how it is meant.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from aether_protocol.engine.submission import read_text, read_texts
from aether_protocol.errors import UsageError
from aether_protocol.expressions.values import Json
from aether_protocol.plan.model import Plan

# Words that answer an approval.
WORDS = {"yes": True, "y": True, "approve": True, "no": False, "n": False, "reject": False}

Payload = dict[str, Json]


def read_parameters(pairs: Sequence[str], plan: Plan) -> dict[str, Json]:
    """`name=value` pairs as values (DATA-14); the last one of a name wins."""
    return read_texts(plan, read_pairs(pairs))


def read_pairs(pairs: Sequence[str]) -> dict[str, str]:
    """`name=value` pairs by name; the last one of a name wins."""
    texts: dict[str, str] = {}
    for pair in pairs:
        name, sign, text = pair.partition("=")
        if not sign or not name:
            raise UsageError(f"-p {pair!r} is not name=value", hint="for example: -p rows=5 -p region=east")
        texts[name] = text
    return texts


def read_payload(text: str) -> Payload | None:
    """An answer to a suspended task: a JSON object, yes or no; None where it is neither."""
    word = text.strip().lower()
    if word in WORDS:
        return {"approved": WORDS[word]}
    value = read_text(text, "any")
    return value if isinstance(value, dict) else None


def read_answers(texts: Sequence[str]) -> dict[str, list[Payload]]:
    """`--resume task=payload` options by task, in the order given: one answer for each time that it suspends.

    A task alone is resumed with an empty payload.
    """
    answers: dict[str, list[Payload]] = {}
    for text in texts:
        task, sign, answer = text.partition("=")
        payload = read_payload(answer) if sign else {}
        if not task or payload is None:
            raise UsageError(
                f"--resume {text!r} is not task=payload",
                hint="""the payload is a JSON object, yes or no: --resume 'main.approve={"approved": true}'""",
            )
        answers.setdefault(task, []).append(payload)
    return answers


def check_answers(plan: Plan, tasks: Collection[str]) -> None:
    """An answer for a task that cannot exist is wrong usage, reported before anything runs."""
    if not tasks:
        return
    from aether_protocol.diagnostics.suggest import did_you_mean
    from aether_protocol.views.preview import task_names

    names = task_names(plan)
    for task in tasks:
        last = task.rpartition(".")[2].partition("[")[0]
        if last not in names:
            hint = did_you_mean(last, sorted(names))
            raise UsageError(f"--resume names {task!r}, and there is no such task", hint=hint)


def read_given(pairs: Sequence[str], types: Mapping[str, str]) -> Payload:
    """`name=value` pairs of an answer; `types` are the declared ones of the task's inputs (CTRL-2)."""
    given: Payload = {}
    for pair in pairs:
        name, sign, text = pair.partition("=")
        if not sign or not name:
            raise UsageError(f"-p {pair!r} is not name=value", hint="for example: -p approved=true")
        given[name] = read_text(text, types.get(name, "any"))
    return given
