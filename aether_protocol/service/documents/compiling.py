"""Read and compile large documents apart from the event loop: an engine may drive runs in it, and workers be heard.

Law: what is small is done at once, since a thread costs more than it. What is large goes to one of few threads, so that many
large documents at once take no more of the processor than that; other threads get their turn within `apart.SWITCH_S`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

from aether_protocol.expressions.values import Json
from aether_protocol.service.documents.texts import DocumentText, LibraryTexts
from aether_protocol.service.local.apart import considerate

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

__all__ = ["compile_apart", "is_large"]

LARGE_TEXT: Final = 16_384  # characters: about a hundred tasks, a few milliseconds
LARGE_VALUES: Final = 1_000  # values of a document that comes as JSON
_THREADS: Final = 2

_Given = ParamSpec("_Given")
_Made = TypeVar("_Made")


def is_large(
    documents: Mapping[str, Json] | str | Iterable[DocumentText], library: Iterable[LibraryTexts] = ()
) -> bool:
    """Whether documents take long enough to read and compile that an event loop should not do it."""
    if isinstance(documents, Mapping):
        large = _holds_many(documents)
    else:
        large = _length(documents) > LARGE_TEXT
    return large or sum(_length(one.documents) for one in library) > LARGE_TEXT


async def compile_apart(
    large: bool, call: Callable[_Given, _Made], *arguments: _Given.args, **keywords: _Given.kwargs
) -> _Made:
    """Call a function that reads or compiles documents, in a thread where they are large."""
    if not large:
        return call(*arguments, **keywords)
    work: Callable[[], _Made] = partial(_considerately, call, *arguments, **keywords)
    return await asyncio.get_running_loop().run_in_executor(_threads(), work)


def _considerately(call: Callable[..., _Made], *arguments: Any, **keywords: Any) -> _Made:
    with considerate:
        return call(*arguments, **keywords)


@cache
def _threads() -> ThreadPoolExecutor:
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(_THREADS, thread_name_prefix="aether-compile")


def _length(documents: str | Iterable[DocumentText]) -> int:
    return len(documents) if isinstance(documents, str) else sum(len(one.text) for one in documents)


def _holds_many(document: Mapping[str, Json]) -> bool:
    """Whether a document holds more than LARGE_VALUES values; no more of it is looked at."""
    todo: list[Json] = [document]
    seen = 0
    while todo and seen <= LARGE_VALUES:
        value = todo.pop()
        seen += 1
        if isinstance(value, Mapping):
            todo.extend(value.values())
        elif isinstance(value, list | tuple):
            todo.extend(value)
    return seen > LARGE_VALUES
