"""YAML text to trees, over the events of ruamel.yaml (DOC-1, DOC-6).

Law: ruamel's C parser or its Python one gives events, and nothing else of it is used: scalars are resolved in scalars.py,
limits and keys are checked in tree.py. Both parsers give the same trees.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from aether_protocol.documents.scalars import NotJsonError, resolve, spelling_of, tagged
from aether_protocol.documents.source import DocumentLimits, Source
from aether_protocol.documents.tree import DocumentTree, StopReadingError, TreeBuilder
from aether_protocol.expressions.values import Json

try:
    from ruamel.yaml.cyaml import CParser  # type: ignore[attr-defined]  # it is not in its __all__
except ImportError:  # no wheel of ruamel.yaml.clib for this interpreter
    CParser = None

# Neither separates a key from a value: it stands after a character of a word, a colon also before one.
_IN_WORDS: Final = r"""(?<=[^\s,\[\]{}"'])(?::(?=[^\s,\[\]{}])|\?)"""
_OLD_LINE_ENDS: Final = "\x85\u2028\u2029"
_VERSION: Final = r"%YAML[ \t]+1\.2[ \t]*(#.*)?\r?"
_DIRECTIVE: Final = r"^%.*$"
_COLLECTION_TAGS: Final = {"tag:yaml.org,2002:map": dict, "tag:yaml.org,2002:seq": list, "!": object}
_MISSING: Final = object()


def read_yaml(source: Source, limits: DocumentLimits) -> list[DocumentTree]:
    """All documents of `source` up to the first place where it cannot be read on; faults are noted in it."""
    trees: list[DocumentTree] = []
    try:
        try:
            _read(_events(source.text), source, limits, trees)
        except YAMLError:
            if (events := _disguised(source.text)) is None:
                raise
            trees.clear()
            source.faults.clear()
            _read(events, source, limits, trees)
    except StopReadingError:
        pass
    except YAMLError as error:
        _syntax(source, error)
    except (ValueError, OverflowError, RecursionError, IndexError, AttributeError) as error:
        # What the Python parser makes of hostile text, such as an escape beyond Unicode.
        source.note("AE101", 0, "", f"this is not YAML ({error})", None)
    return trees


def _events(text: str) -> Iterator[Any]:
    """The parser's events. What ends a line in YAML 1.1 alone goes through it as a stand-in, so that it stays what it is."""
    odd = [mark for mark in _OLD_LINE_ENDS if mark in text]
    if not odd:
        return _parsed(text)
    stand_ins = _unused(text, len(odd))
    shielded = text.translate({ord(mark): stand_in for mark, stand_in in zip(odd, stand_ins, strict=False)})
    marks = {ord(stand_in): mark for mark, stand_in in zip(odd, stand_ins, strict=False)}
    return (_revealed(event, marks) for event in _parsed(shielded))


def _unused(text: str, count: int) -> list[str]:
    """Characters for private use that do not stand in `text`."""
    return [mark for mark in map(chr, range(0xE000, 0xE100)) if mark not in text][:count]


def _parsed(text: str) -> Iterator[Any]:
    if CParser is None:
        return iter(YAML(typ="safe", pure=True).parse(text))
    return iter(CParser(text).get_event, None)


def _disguised(text: str) -> Iterator[Any] | None:
    """The events of `text` for the C parser once more, with stand-ins of the same length for the colons and question marks
    inside of words: it knows YAML 1.1, which refuses `{url: http://host}`. None where that would change nothing."""
    stand_ins = _unused(text, 2)
    if CParser is None or len(stand_ins) < 2 or not re.search(_IN_WORDS, text):
        return None
    colon, question = stand_ins
    other = re.sub(_IN_WORDS, lambda found: colon if found.group() == ":" else question, text)
    return (_revealed(event, {ord(colon): ":", ord(question): "?"}) for event in _events(other))


def _revealed(event: Any, marks: Mapping[int, str]) -> Any:
    for name in ("value", "anchor", "tag"):
        if isinstance(text := getattr(event, name, None), str):
            setattr(event, name, text.translate(marks))
    return event


def _read(events: Iterator[Any], source: Source, limits: DocumentLimits, trees: list[DocumentTree]) -> None:
    builder = TreeBuilder(source, limits, plain=True)
    scalar, opened, close = builder.scalar, builder.open, builder.close
    known: dict[str, Json] = {}  # plain text -> its value: most texts stand many times in a file
    escapes = "\\" in source.text
    ended = 0
    for event in events:
        kind = type(event)
        if kind is ScalarEvent:
            if event.tag is None and event.anchor is None:
                text = event.value
                if event.implicit[0]:
                    value = known.get(text, _MISSING)
                    if value is _MISSING:
                        _plain(event, builder, source, known)
                    else:
                        scalar(value, event.start_mark.index)
                    continue
                if not (escapes and _broken(text)):
                    scalar(text, event.start_mark.index)
                    continue
            _special(event, builder, source)
        elif kind is MappingStartEvent:
            _check_tag(event, dict, source)
            opened({}, event.start_mark.index, event.anchor)
        elif kind is SequenceStartEvent:
            _check_tag(event, list, source)
            opened([], event.start_mark.index, event.anchor)
        elif kind is MappingEndEvent or kind is SequenceEndEvent:
            close()
        elif kind is AliasEvent:
            builder.alias(event.anchor, event.start_mark.index)
        elif kind is DocumentStartEvent:
            _check_directives(source, ended, event.end_mark.index)
            builder.start()
        elif kind is DocumentEndEvent:
            ended = event.end_mark.index
            trees.append(builder.finish())


def _plain(event: Any, builder: TreeBuilder, source: Source, known: dict[str, Json]) -> None:
    """A plain scalar that was not seen before."""
    text, at = event.value, event.start_mark.index
    if not text:
        return builder.empty(at)
    try:
        value = resolve(text)
    except NotJsonError as error:
        source.fault("AE110", at, str(error), "put it in quotes if it is meant as text")
        return builder.faulty(at)
    if (spelling := spelling_of(text, value)) is None:
        known[text] = value
    return builder.scalar(value, at, None, spelling)


def _special(event: Any, builder: TreeBuilder, source: Source) -> None:
    """A scalar with a tag, an anchor or broken escapes."""
    text, at, tag = event.value, event.start_mark.index, event.tag
    try:
        if _broken(text):
            raise NotJsonError("half of a surrogate pair")
        if tag is not None:
            value = tagged(str(tag), text)
        elif event.implicit[0]:
            if not text:
                return builder.empty(at, event.anchor)
            value = resolve(text)
        else:
            value = text
    except NotJsonError as error:
        source.fault("AE110", at, str(error), "put it in quotes if it is meant as text")
        return builder.faulty(at)
    except KeyError:
        source.fault("AE107", at, f"tag {_short_tag(tag)!r} is not of the core schema", "leave the tag out")
        return builder.faulty(at)
    return builder.scalar(value, at, event.anchor, spelling_of(text, value))


def _broken(text: str) -> bool:
    """Whether `text` has half of a surrogate pair, which no UTF-8 can carry."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _check_tag(event: Any, kind: type, source: Source) -> None:
    if event.tag is not None and not issubclass(kind, _COLLECTION_TAGS.get(str(event.tag), str)):
        message = f"tag {_short_tag(event.tag)!r} does not fit a {'mapping' if kind is dict else 'list'}"
        source.fault("AE107", event.start_mark.index, message, "leave the tag out")


def _short_tag(tag: Any) -> str:
    return str(tag).replace("tag:yaml.org,2002:", "!!")[:80]


def _check_directives(source: Source, start: int, end: int) -> None:
    """The lines between two documents may not hold directives (which the Python parser does not show in its events)."""
    for match in re.compile(_DIRECTIVE, re.MULTILINE).finditer(source.text, start, end):
        if re.fullmatch(_VERSION, match.group()):
            continue
        source.note("AE108", match.start(), "", f"directive {match.group()[:40]!r} is not read", "leave the line out")


def _syntax(source: Source, error: YAMLError) -> None:
    """Why the parser stopped."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    at = mark.index if mark is not None else len(source.text)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "unreadable"
    context = getattr(error, "context", None)
    at = min(at, len(source.text))
    hint = "look at this line and the one before it"
    if source.text[at : at + 1] == "\t":
        hint = "YAML is indented with spaces, never with tabs"
    elif "mapping values are not allowed" in problem:
        hint = "put a text that holds ': ' in quotes, or write it as a block after `|`; or check the indentation"
    source.note("AE101", at, "", f"this is not YAML: {problem}" + (f" ({context})" if context else ""), hint)
