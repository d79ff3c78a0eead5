"""The fields of a config as a table, and what is wrong with a config: the short way to declare one (SPEC-15)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct

from aether_protocol.expressions.values import Json


class ConfigField(Struct, frozen=True, gc=False):
    """A field of an executor's config. `type` is one of DOC-9, `duration` or `size` (`512Mi`, or a number of bytes).

    `items` types the elements of an array; `minimum` and `maximum` bound a number, `minimum` the length of an array too;
    `fields` are those of an object that takes no others; `words` are texts that may stand in place of the value; `artifact`:
    the text names an output artifact of the task, whose content the executor itself writes (so it needs no path); `text`: the
    entries of an array or object are meant as text, so that plain YAML scalars among them keep their spelling (DOC-10).
    """

    name: str
    type: str
    description: str
    required: bool = False
    default: Json = None
    enum: tuple[Json, ...] | None = None
    items: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    fields: tuple[ConfigField, ...] = ()
    words: tuple[str, ...] = ()
    artifact: bool = False
    text: bool = False


class ConfigFault(Struct, frozen=True, gc=False):
    """One fault of a config: `path` inside of it (`("env", "HOME")`), what is wrong, and what to do."""

    path: tuple[str | int, ...]
    message: str
    hint: str | None = None


def with_nested(fields: tuple[ConfigField, ...], above: str = "") -> Iterator[tuple[str, ConfigField]]:
    """All fields, each followed by those within it, with their names from the top: `stop`, `stop.signal`."""
    for field in fields:
        yield f"{above}{field.name}", field
        yield from with_nested(field.fields, f"{above}{field.name}.")


def written_artifacts(fields: tuple[ConfigField, ...], config: Json) -> list[tuple[tuple[str, ...], str]]:
    """The output artifacts that a config names for the executor to write: where it does, and the name."""
    found: list[tuple[tuple[str, ...], str]] = []
    if not isinstance(config, Mapping):
        return found
    for field in fields:
        value = config.get(field.name)
        if field.artifact and isinstance(value, str):
            found.append(((field.name,), value))
        elif field.fields:
            found.extend(((field.name, *path), name) for path, name in written_artifacts(field.fields, value))
    return found
