"""Secrets from a folder with one file each, `<folder>/<name>/<key>`, as Kubernetes mounts them; those of a namespace other than
`default` are `<folder>/<namespace>/<name>/<key>`.

Law: only files that lie inside of the folder, after every link is followed, are read. Names, keys and namespaces never become
more than one path segment, and none begins with two dots: a mount of Kubernetes holds its keys once more below such a name
(`db/..data`), which would be a secret of the namespace `db`. One line break at the end belongs to the file, not to the secret.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from aether_protocol.errors import PortError
from aether_protocol.ports.secrets import DEFAULT_NAMESPACE

MAX_BYTES: Final = 1_048_576

_SEGMENT = re.compile(r"(?!\.\.)(?!\.\Z)[A-Za-z0-9._-]{1,253}", re.ASCII)


class FileSecrets:
    """A NamespacedSecretProvider over a folder. Files are read when they are asked for, so that a rotated secret is seen."""

    by_namespace = True

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)

    def get(self, name: str, key: str, namespace: str = DEFAULT_NAMESPACE) -> str | None:
        """The file's text, or None where there is no such file. Raises PortError for one that cannot be read."""
        if not all(_SEGMENT.fullmatch(one) for one in (name, key, namespace)):
            return None
        folder = self._folder if namespace == DEFAULT_NAMESPACE else self._folder / namespace
        try:
            path = (folder / name / key).resolve()
            if not path.is_file():
                return None
            if not path.is_relative_to(folder.resolve()):
                raise PortError(f"secret {name!r} key {key!r} leads out of {str(folder)!r}")
            with path.open("rb") as file:
                data = file.read(MAX_BYTES + 1)
        except (OSError, RuntimeError) as fault:  # RuntimeError: links in a circle, before Python 3.13
            why = getattr(fault, "strerror", None) or "links in a circle"
            raise PortError(f"secret {name!r} key {key!r} cannot be read: {why.lower()}") from None
        if len(data) > MAX_BYTES:
            raise PortError(f"secret {name!r} key {key!r} is larger than {MAX_BYTES} bytes")
        try:
            text = data.decode()
        except UnicodeDecodeError:
            raise PortError(f"secret {name!r} key {key!r} is not utf-8 text") from None
        return text.removesuffix("\n").removesuffix("\r")
