"""Types of what stands on the command line: text, a word of several, a number, a place in the file system.

Law: every refusal names the value and says what would do, in the same words whatever the option.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from aether_protocol.expressions.json_copy import is_whole

if TYPE_CHECKING:
    _TextType = click.ParamType[str]
    _NumberType = click.ParamType[float]
    _PatternType = click.ParamType[re.Pattern[str]]
    _PathType = click.ParamType[str | os.PathLike[str]]
else:  # click has only lately made it generic
    _TextType = _NumberType = _PatternType = _PathType = click.ParamType


class WrongUsageError(click.UsageError):
    """Options that do not fit, with advice."""

    def __init__(self, message: str, hint: str, ctx: click.Context) -> None:
        super().__init__(message, ctx)
        self.hint = hint


class BadValueError(click.BadParameter):
    """A value that an option does not take, with advice."""

    def __init__(self, message: str, hint: str | None, *, ctx: click.Context | None, param: click.Parameter | None) -> None:
        super().__init__(message, ctx, param)
        self.hint = hint


class Text(_TextType):
    """What stands on the command line as text. Python gives bytes that its locale cannot read as halves of surrogate
    pairs: where they are UTF-8 they are read as that, else they are refused. Names of files may be any bytes."""

    name = "text"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if is_whole(value):
            return value
        try:
            return os.fsencode(value).decode("utf-8")
        except UnicodeError:
            self.fail(f"{value!a} is not UTF-8 text", param, ctx)


class Pattern(_PatternType):
    """A regular expression."""

    name = "pattern"

    def convert(
        self, value: str | re.Pattern[str], param: click.Parameter | None, ctx: click.Context | None
    ) -> re.Pattern[str]:
        if not isinstance(value, str):
            return value
        try:
            return re.compile(value)
        except re.error as error:
            hint = f"a backslash before {' '.join('.*+?()[|')} means the character itself"
            raise BadValueError(f"{value!r} is not a regular expression: {error}", hint, ctx=ctx, param=param) from None


class OneOf(_TextType):
    """One of several words, in any case; `old` are words that mean one of them and are not shown."""

    name = "choice"

    def __init__(self, words: Sequence[str], old: Mapping[str, str] | None = None, paths: str | None = None) -> None:
        self.words = tuple(words)
        self.old = dict(old or {})
        self.paths = paths

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        return f"[{'|'.join(self.words)}]"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        from click.shell_completion import CompletionItem

        return [CompletionItem(word) for word in self.words if word.lower().startswith(incomplete.lower())]

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        known = {word.lower(): word for word in self.words} | self.old
        if value.lower() in known:
            return known[value.lower()]
        from aether_protocol.diagnostics.suggest import suggest

        near = suggest(value.lower(), list(known))
        several = f"it is one of: {', '.join(self.words)}" if len(self.words) > 1 else f"the only one is {self.words[0]}"
        hint = f"did you mean {known[near]!r}?" if near else several
        if self.paths is not None and any(char in value for char in "./-"):
            hint = f"{self.paths} names the file: {self.paths} {value}"
        raise BadValueError(f"{value!r} is not one of its values", hint, ctx=ctx, param=param)


class Number(_NumberType):
    """A number from `least` to `most`; a whole one unless `fraction`."""

    name = "number"

    def __init__(self, least: int, most: int | None = None, *, fraction: bool = False) -> None:
        self.least = least
        self.most = most
        self.fraction = fraction

    def convert(self, value: str | float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            number = float(value) if self.fraction else int(value)
        except (ValueError, OverflowError):
            number = None
        if number is not None and self.least <= number <= (float("inf") if self.most is None else self.most):
            return number
        what = "a number" if self.fraction else "a whole number"
        to = "on" if self.most is None else f"to {self.most}"
        raise BadValueError(f"{value!r} is not {what} from {self.least} {to}", None, ctx=ctx, param=param)


FILE: Final = "file"
FOLDER: Final = "folder"


class Location(_PathType):
    """A path. `kind`: what is there, if anything is, is a file or a folder; `exists`: it is there. `-` is allowed.

    Not a `click.Path`: each of those looks for a translation of its name.
    """

    name = "path"

    def __init__(self, kind: str | None = None, *, exists: bool = False, as_path: bool = False) -> None:
        self.kind = kind
        self.exists = exists
        self.as_path = as_path

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        from click.shell_completion import CompletionItem

        return [CompletionItem(incomplete, type="dir" if self.kind == FOLDER else "file")]

    def convert(
        self, value: str | os.PathLike[str], param: click.Parameter | None, ctx: click.Context | None
    ) -> str | os.PathLike[str]:
        path = os.fspath(value)
        there = os.path.exists(path)
        if not there and self.exists:
            fault, hint = f"there is no {self.kind or 'file or folder'} {path!r}", "check the spelling of the path"
        elif there and self.kind == FILE and os.path.isdir(path):
            fault, hint = f"{path!r} is a folder", "name a file"
        elif there and self.kind == FOLDER and not os.path.isdir(path):
            fault, hint = f"{path!r} is not a folder", "name a folder"
        else:
            return Path(value) if self.as_path else value
        raise BadValueError(fault, hint, ctx=ctx, param=param)


TEXT: Final = Text()
