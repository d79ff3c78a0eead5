"""Secrets from a YAML or JSON file {name: {key: text}}: what `--secrets-file` reads.

Law: the file is small, holds plain data, and its text never appears in an error: a parser's own message would quote it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from aether_protocol.adapters.secrets.dotenv import DotenvSecrets
from aether_protocol.adapters.secrets.files import FileSecrets
from aether_protocol.adapters.secrets.mapping import MappingSecrets
from aether_protocol.errors import PortError, UsageError
from aether_protocol.ports.secrets import SecretProvider

MAX_BYTES: Final = 1_048_576


def open_secrets_file(path: str | Path) -> SecretProvider:
    """The secrets of `path`: a folder of files, a dotenv file by its name (`.env`, `x.env`, `.env.x`), JSON by `.json`,
    else YAML. Raises PortError.
    """
    file = Path(path)
    if file.is_dir():
        return FileSecrets(file)
    if file.suffix == ".env" or file.name.startswith(".env"):
        return DotenvSecrets(file)
    origin = f"secrets file {str(path)!r}"
    try:
        with file.open("rb") as handle:
            data = handle.read(MAX_BYTES + 1)
    except OSError as fault:
        raise PortError(f"{origin} cannot be read: {(fault.strerror or 'unreadable').lower()}") from None
    if len(data) > MAX_BYTES:
        raise PortError(f"{origin} is larger than {MAX_BYTES} bytes")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise PortError(f"{origin} is not utf-8 text") from None
    value = _read_json(text, origin) if file.suffix == ".json" else _read_yaml(text, origin)
    return MappingSecrets({} if value is None else value, origin)


def _read_json(text: str, origin: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as fault:
        raise PortError(f"{origin}: not json at line {fault.lineno}, column {fault.colno}") from None
    except (ValueError, RecursionError):
        raise PortError(f"{origin}: not json") from None


def _read_yaml(text: str, origin: str) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        return YAML(typ="safe", pure=True).load(text)
    except MarkedYAMLError as fault:
        mark = fault.problem_mark
        place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
        raise PortError(f"{origin}: not yaml{place}") from None
    except (YAMLError, ValueError, RecursionError):
        raise PortError(f"{origin}: not yaml") from None


def file_of_url(url: str) -> SecretProvider:
    """Make the provider of `file:PATH`. Raises UsageError without a path, PortError for a file that cannot be read."""
    path = url.partition(":")[2]
    if not path:
        raise UsageError(f"the secret provider {url!r} has no path", hint="like 'file:secrets.yaml'")
    return open_secrets_file(path)
