"""One mistake, one fault: every field of the examples is misspelt, taken away and spoilt, once for each kind of place.

Law: what the reader has reported brings no follow-ups from the checks, however much hangs on it.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from aether_protocol.assembly.executors import executor_types
from aether_protocol.compiler.compile import CompileOptions, compile_document
from aether_protocol.documents.library import TemplateLibrary
from aether_protocol.documents.load import load_value

EXAMPLES = Path(__file__).parents[3] / "examples" / "workflows"
SPOILT: list[Any] = [None, 5, "not a name", "", [], {}, {"zzz": 1}, [None], [[]]]
OTHERS = frozenset({"config", "value", "default", "enum", "items", "labels", "annotations"})  # their content is the author's

Spot = tuple[str | int, ...]


def spots(value: Any, path: Spot = ()) -> Iterator[Spot]:
    if path:
        yield path
    if isinstance(value, dict) and not OTHERS.intersection(path[-1:]):
        for key, item in value.items():
            yield from spots(item, (*path, key))
    elif isinstance(value, list) and not OTHERS.intersection(path[-1:]):
        for index, item in enumerate(value):
            yield from spots(item, (*path, index))


@cache
def places() -> tuple[tuple[Path, Spot], ...]:
    """One spot of each kind: that of another entry of the same list is not new, but the first often differs from the rest."""
    found: dict[object, tuple[Path, Spot]] = {}
    for file in sorted(EXAMPLES.glob("*.yaml")):
        document = read(file)
        if document.get("kind") == "Workflow":
            for spot in spots(document):
                found.setdefault(tuple(min(part, 1) if isinstance(part, int) else part for part in spot), (file, spot))
    return tuple(found.values())


@cache
def read(file: Path) -> Any:
    return next(iter(YAML(typ="safe").load_all(file)))


def faults(document: Any) -> list[tuple[str, str]]:
    file = load_value(document)
    library = TemplateLibrary()
    for one in file.documents:
        library.add(one)
    found = [one for one in file.diagnostics if one.severity == "error"]
    for one in file.documents:
        options = CompileOptions(executor_types=executor_types())
        found += [d for d in compile_document(one, library, options).diagnostics if d.severity == "error"]
    return [(one.code, one.path) for one in found if one.code != "AE203"]  # templates of other files


def spoil(document: Any, spot: Spot, mutation: Any) -> Any:
    document = copy.deepcopy(document)
    above = document
    for part in spot[:-1]:
        above = above[part]
    if mutation == "delete":
        del above[spot[-1]]
    elif mutation == "misspell":
        items = [(f"{key}x" if key == spot[-1] else key, item) for key, item in above.items()]
        above.clear()
        above.update(items)
    else:
        above[spot[-1]] = copy.deepcopy(mutation[0])
    return document


def shown(spot: Spot) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in spot).removeprefix(".")


@pytest.mark.rule("DOC-5")
@pytest.mark.parametrize("mutation", ["delete", "misspell", *[[value] for value in SPOILT]], ids=str)
def test_a_fault_of_the_reader_comes_alone(mutation: Any) -> None:
    for file, spot in places():
        if mutation == "misspell" and not isinstance(spot[-1], str):
            continue
        found = faults(spoil(read(file), spot, mutation))
        if not any(code < "AE2" for code, _ in found):
            continue  # it is fine by the reader, and may well break several references
        near = shown(spot[:-1])
        far = [(code, path) for code, path in found if not path.startswith(near)]
        later = [(code, path) for code, path in found if code > "AE2"]
        assert not far, (file.name, shown(spot), found)
        assert not later, (file.name, shown(spot), found)
