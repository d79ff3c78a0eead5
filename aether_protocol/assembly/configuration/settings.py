"""The rows of the table of settings: key, type, default, variable, flag, and what is wanted of a value.

Law: rows are made from `sections`, once, when they are first asked for.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import cache
from types import NoneType
from typing import Annotated, Any, Final, Literal, get_args, get_origin

from msgspec import NODEFAULT, Meta, Struct, ValidationError, convert
from msgspec.structs import fields

from aether_protocol.assembly.configuration.sections import NAMED_SECTIONS, SECTIONS
from aether_protocol.assembly.store_urls import has_scheme, read_store_url, without_password
from aether_protocol.errors import UsageError
from aether_protocol.expressions.values import Json

ANY_NAME: Final = "*"  # in a key, where a name of the user's own stands

_WANTED: Final = {"path": "a path", "place": "a path or a URL", "part": "a name or a URL"}
_YES: Final = ("1", "true", "yes", "on")
_NO: Final = ("0", "false", "no", "off")


class Setting(Struct, frozen=True):
    """One row. `key` is like `store.url`, or `executors.*.enabled`; `variable` and `flag` are empty where there is none."""

    key: str
    type: Any
    default: Json
    text: str
    variable: str
    flag: str
    form: str

    @property
    def choices(self) -> tuple[str, ...]:
        """The values that it takes, where these are few."""
        inner = _without_none(self.type)
        return get_args(inner) if get_origin(inner) is Literal else ()

    @property
    def wanted(self) -> str:
        """What a value is to be, for messages."""
        inner = _without_none(self.type)
        if self.form == "store":
            return "the URL of a store"
        if self.choices:
            return f"one of {', '.join(map(repr, self.choices))}"
        if self.form == "pairs":
            return "a list of NAME=TEXT"
        if self.form == "share":
            return "a number from 0 to 1"
        if get_origin(inner) is list:
            return "a list of names" if self.form == "part" else "a list of paths"
        if inner is int:
            least, most = _bounds(self.type)
            return f"a whole number of at least {least}" if most is None else f"a whole number from {least} to {most}"
        if inner is float:
            return "a number of seconds"
        if get_origin(inner) is dict:
            return "a table of roles by group"
        return {bool: "true or false", str: _WANTED.get(self.form, "text")}[inner]

    def check(self, value: Json) -> Json:
        """The value, if it is one of this setting.

        Raises:
            UsageError: it is not; the message is what is wanted.
        """
        try:
            if value is None:
                raise ValidationError
            convert(value, self.type, strict=True)
            if self.form == "store":
                read_store_url(value)
        except ValidationError:
            from aether_protocol.diagnostics.suggest import did_you_mean  # only for a faulty value

            raise UsageError(self.wanted, hint=did_you_mean(value, self.choices) if isinstance(value, str) else None) from None
        except UsageError as error:
            raise UsageError(self.wanted, hint=error.hint) from None
        if self.form not in ("", "share", "secret") and not all(one and "\0" not in one for one in _as_list(value)):
            raise UsageError(self.wanted)
        if self.form == "pairs" and not all("=" in one.strip("=") for one in _as_list(value)):
            raise UsageError(self.wanted)
        return value

    def shown(self, value: Json) -> Json:
        """The value as it may be shown and recorded: without passwords and secrets, and without what headers say."""
        if self.form == "secret" and value:
            return "***"
        if self.form == "pairs" and value:
            pairs = value if isinstance(value, list) else [str(value)]
            return [f"{one.partition('=')[0]}=***" if isinstance(one, str) and "=" in one else "***" for one in pairs]
        return redacted(value)

    def placed(self, value: Json, folder: str) -> Json:
        """The value with the paths in it counted from a folder; a leading `~` is the home of the user."""
        if self.form == "store":
            return str(read_store_url(value).relative_to(folder))
        if self.form == "path" or (self.form == "place" and isinstance(value, str) and not has_scheme(value)):
            several = [os.path.normpath(os.path.join(folder, os.path.expanduser(one))) for one in _as_list(value)]
            return several if isinstance(value, list) else several[0]
        return value

    def read_text(self, text: str) -> Json:
        """What a variable says, as a value; text that says none comes back as it is, and `check` refuses it."""
        inner = _without_none(self.type)
        if get_origin(inner) is list:
            if self.form == "pairs":
                return [one.strip() for one in text.split(",") if one.strip()]
            return text.split() if self.form == "part" else [one for one in text.split(os.pathsep) if one]
        if inner is int and text.isascii() and text.isdigit() and len(text) < 16:
            return int(text)
        if inner is float and re.fullmatch(r"[0-9]{1,15}(\.[0-9]{1,6})?", text):
            return float(text)
        if inner is bool and text.lower() in (*_YES, *_NO):
            return text.lower() in _YES
        return text


@cache
def settings() -> Mapping[str, Setting]:
    """All rows by key, in the order of the sections."""
    rows = [row for name, section in SECTIONS.items() for row in _rows(f"{name}.", section)]
    rows += [row for name, section in NAMED_SECTIONS.items() for row in _rows(f"{name}.{ANY_NAME}.", section)]
    return {row.key: row for row in rows}


def setting_of(key: str) -> Setting:
    """The row of a key; where a name of the user's own stands in the key, that of all such keys. Raises KeyError."""
    rows = settings()
    if key in rows:
        return rows[key]
    section, _, rest = key.partition(".")
    return rows[f"{section}.{ANY_NAME}.{rest.rpartition('.')[2]}"]


def redacted(value: Json) -> Json:
    """The value without the passwords in the URLs in it."""
    if isinstance(value, str):
        return without_password(value)
    return [redacted(one) for one in value] if isinstance(value, list) else value


def _rows(prefix: str, section: type[Struct]) -> list[Setting]:
    rows = []
    for one in fields(section):
        meta = next(part for part in get_args(one.type) if isinstance(part, Meta) and part.extra)
        default = one.default if one.default is not NODEFAULT else one.default_factory()
        rows.append(Setting(prefix + one.name, one.type, default, meta.description or "", **(meta.extra or {})))
    return rows


def _without_none(annotated: Any) -> Any:
    inner = get_args(annotated)[0]
    if NoneType in get_args(inner):
        inner = next(part for part in get_args(inner) if part is not NoneType)
    return get_args(inner)[0] if get_origin(inner) is Annotated else inner


def _bounds(annotated: Any) -> tuple[int, int | None]:
    """The least and the most of a whole number."""
    for part in get_args(annotated):
        if isinstance(part, Meta) and part.ge is not None:
            return int(part.ge), None if part.le is None else int(part.le)
        if get_args(part) and (found := _bounds(part)) != (0, None):
            return found
    return 0, None


def _as_list(value: Json) -> list[str]:
    return value if isinstance(value, list) else [value]
