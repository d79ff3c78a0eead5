"""Names to propose in place of one that a place refuses (DATA-4).

Law: pure text. Whether a place accepts a proposal is asked of the same rules that refused the name.
"""

from __future__ import annotations

from collections.abc import Iterator

from aether_protocol.expressions import Name


def replaced(name: Name, at: int, segment: str) -> Name:
    """`name` with another segment at `at`."""
    return _name_of((*name.segments[:at], segment, *name.segments[at + 1 :]))


def _name_of(segments: tuple[str | int, ...]) -> Name:
    text = "".join(f"[{one}]" if isinstance(one, int) else f".{one}" for one in segments)
    return Name(text.removeprefix("."), segments)


def equivalents(name: Name, body: str | None, own: str | None, ending: str | None) -> Iterator[Name]:
    """Names that mean elsewhere what `name` means where it is seen; whether they do here is for the caller to ask.

    `body` is the name of the loop's body, `own` that of the task at hand, `ending` that of the definition that has ended.
    """
    root, *rest = name.segments
    below = rest[1:] if root in ("tasks", "iterator") and len(rest) > 1 else rest
    if root in ("outputs", "phase", "code", "msg") or rest[:1] == ["previous"]:
        field = [root, *rest] if root not in ("iterator", "tasks") else below
        if body is not None:
            yield _name_of(("tasks", body, *field))
        if own is not None:
            yield _name_of(("tasks", own, *field))
        yield _name_of(("iterator", "previous", *field))
    elif root == "tasks" and len(rest) > 1:
        if ending is not None and rest[0] in (ending, own):
            yield _name_of(tuple(below))
        if body is not None and rest[0] == body:
            yield _name_of(("iterator", "previous", *below))
    elif root in ("dag", "loop"):
        yield _name_of(("loop" if root == "dag" else "dag", *rest))
    elif root == "inputs" and rest[:1] == ["parameters"]:
        yield _name_of(("workflow", *rest))
    elif root == "hook" and rest[:1] == ["workflow"]:
        yield _name_of(("workflow", *rest[1:]))
