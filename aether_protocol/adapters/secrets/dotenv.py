"""Secrets from a dotenv file: lines `NAME_KEY=value` or `name.key=value`.

Law: nothing is expanded, neither `$X` nor a command: what stands in the file is the secret. A line that is not understood
is an error with its number and without its text.

    # a comment
    export DB_PASSWORD=plain text up to the end   # a comment needs a blank before it
    db-main.password="with \\"escapes\\", \\n and
    line breaks"
    AETHER_SECRET_DB_TOKEN='as it is, no escapes'
    team-a/db-main.password=of the namespace team-a, as is AETHER_SECRET__TEAM_A__DB_MAIN_PASSWORD
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from aether_protocol.adapters.secrets.naming import PREFIX, flat_name, split_name
from aether_protocol.errors import PortError
from aether_protocol.ports.secrets import DEFAULT_NAMESPACE

MAX_BYTES: Final = 1_048_576

_BLANK = re.compile(r"(?:[ \t\r]*(?:#[^\n]*)?\n)*[ \t\r]*(?:#[^\n]*\Z)?")
_NAME = re.compile(r"(?:export[ \t]+)?([A-Za-z0-9_][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_.-]+)?)[ \t]*=[ \t]*")
_DOUBLE = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_SINGLE = re.compile(r"'([^']*)'")
_BARE = re.compile(r"[^\n]*")
_COMMENT = re.compile(r"(?:\A|[ \t])#.*")
_REST = re.compile(r"[ \t\r]*(?:#[^\n]*)?(?:\n|\Z)")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES: Final = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "$": "$", "'": "'", "\n": ""}


def parse_dotenv(text: str, origin: str = "the dotenv file") -> dict[str, str]:
    """The variables of a dotenv text in order, the last of a name winning. Raises PortError with the line's number."""
    values: dict[str, str] = {}
    position = _skip(text, 0)
    while position < len(text):
        line = text.count("\n", 0, position) + 1
        name = _NAME.match(text, position)
        if name is None:
            raise PortError(f"{origin}: line {line} is not `name=value`")
        value, position = _value(text, name.end(), f"{origin}: line {line}")
        values[name.group(1)] = value
        position = _skip(text, position)
    return values


def _skip(text: str, position: int) -> int:
    match = _BLANK.match(text, position)
    return match.end() if match else position


def _value(text: str, position: int, where: str) -> tuple[str, int]:
    """The value that begins here, and where the next line does."""
    quote = text[position : position + 1]
    if quote not in ('"', "'") or not quote:
        bare = _BARE.match(text, position)
        assert bare is not None
        return _COMMENT.sub("", bare.group(), count=1).strip(), bare.end()
    match = (_DOUBLE if quote == '"' else _SINGLE).match(text, position)
    if match is None:
        raise PortError(f"{where}: the quote is never closed")
    rest = _REST.match(text, match.end())
    if rest is None:
        raise PortError(f"{where}: something follows the closing quote")
    value = match.group(1)
    if quote == '"':
        value = _ESCAPE.sub(lambda escape: _ESCAPES.get(escape.group(1), escape.group()), value)
    return value, rest.end()


class DotenvSecrets:
    """A NamespacedSecretProvider over a dotenv file, which is read once. Raises PortError when it cannot be read."""

    blocking = False
    by_namespace = True

    def __init__(self, path: str | Path) -> None:
        try:
            with Path(path).open("rb") as file:
                data = file.read(MAX_BYTES + 1)
        except OSError as fault:
            why = (fault.strerror or "unreadable").lower()
            raise PortError(f"secrets file {str(path)!r} cannot be read: {why}") from None
        if len(data) > MAX_BYTES:
            raise PortError(f"secrets file {str(path)!r} is larger than {MAX_BYTES} bytes")
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise PortError(f"secrets file {str(path)!r} is not utf-8 text") from None
        self._dotted: dict[tuple[str, str], str] = {}
        self._flat: dict[str, str] = {}  # without the prefix; what has it comes after what has none
        for name, value in parse_dotenv(text, f"secrets file {str(path)!r}").items():
            if "." in name or "/" in name:
                self._dotted[split_name(name)] = value
            elif name.startswith(PREFIX):
                self._flat.setdefault(name.removeprefix(PREFIX), value)
            else:
                self._flat[name] = value

    def get(self, name: str, key: str, namespace: str = DEFAULT_NAMESPACE) -> str | None:
        """The value of `name.key`, else of `NAME_KEY`, else of `AETHER_SECRET_NAME_KEY`, in another namespace of
        `namespace/name.key`, else of `AETHER_SECRET__NAMESPACE__NAME_KEY`; None where there is none."""
        dotted = self._dotted.get((namespace, f"{name}.{key}"))
        flat = flat_name(name, key, namespace)
        return dotted if dotted is not None or flat is None else self._flat.get(flat)
