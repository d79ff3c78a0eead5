"""What a store's URL says: its kind, its path, its options.

Law: one place reads these URLs. After `sqlite:` stands a path as it is; or, as SQLAlchemy, DBOS and Prefect write it, three
slashes and a relative path, four and an absolute one.
"""

from __future__ import annotations

import os
import re
from typing import Final

from msgspec import Struct

from aether_protocol.errors import UsageError

PROJECT: Final = ".aether"  # the folder for what belongs to this machine

# Compiled when they are needed, which is rarely.
# Also one with a slash, which should have been escaped; with ? or #, where no port can be meant.
_PASSWORD: Final = r"(?<=://)([^/?#@:\s]*):(?:[^?#\s]*@|(?!\d{1,5}(?:[/?#]|$))\S*@)"
_TOKEN: Final = r"(?<=nats://)[^/?#@:\s]+@"  # for NATS a name without a password is a token
_OPTION: Final = r"(?i)([?&][^=&#\s]*(?:password|passwd|passphrase|secret|token)[^=&#\s]*=)[^&#\s]*"
_SCHEME: Final = "[a-z][a-z0-9+-]+:"  # of two letters or more: one is a drive


def has_scheme(text: str) -> bool:
    """Say whether text is a URL, and not the path of a file."""
    return ":" in text and re.match(_SCHEME, text) is not None


def is_server_url(text: str) -> bool:
    """Say whether a URL is one of a server, and not of a store."""
    return text.startswith(("http://", "https://"))


def without_password(url: str) -> str:
    """A URL, or a text with URLs in it, as people may see it: without passwords, tokens, and options that are such."""
    if "@" in url:
        url = re.sub(_TOKEN, "***@", re.sub(_PASSWORD, r"\1:***@", url))
    return re.sub(_OPTION, r"\1***", url) if "=" in url else url


class StoreUrl(Struct, frozen=True):
    """A URL taken apart. `options` is the text behind the question mark; `path` is empty where there is none."""

    kind: str
    path: str
    options: str

    def named_options(self) -> dict[str, str]:
        """The options by name; of one that is given twice the last."""
        if not self.options:
            return {}
        from urllib.parse import parse_qsl  # not free, and rarely needed

        return dict(parse_qsl(self.options, keep_blank_values=True))

    def __str__(self) -> str:
        """The URL in its shortest form."""
        place = f"{self.kind}:{self.path}" if self.path else self.kind
        return f"{place}?{self.options}" if self.options else place

    def relative_to(self, folder: str) -> StoreUrl:
        """The same store for a process in any folder, where a relative path counts from `folder`."""
        if self.kind != "sqlite" or not self.path:
            return self
        options = self.options
        artifacts = self.named_options().get("artifacts")
        if artifacts and not os.path.isabs(artifacts) and not has_scheme(artifacts):
            from urllib.parse import urlencode

            there = os.path.normpath(os.path.join(folder, artifacts))
            options = urlencode({**self.named_options(), "artifacts": there}, safe="/")
        return StoreUrl(self.kind, os.path.normpath(os.path.join(folder, self.path)), options)


def read_store_url(url: str) -> StoreUrl:
    """Take a store's URL apart.

    Raises:
        UsageError: a `sqlite:` URL names a host.
    """
    place, _, options = url.partition("?")
    kind, _, path = place.partition(":")
    if kind == "sqlite" and path.startswith("//"):
        slashes, path = path[:3], path[3:]
        if slashes != "///":
            rest = (slashes + path).lstrip("/")
            hint = f"sqlite:///{rest} is relative, sqlite:////{rest} absolute" if rest else "like sqlite:///runs.db"
            raise UsageError(f"the store {url!r} names a host, and a SQLite file has none", hint=hint)
        if path.startswith("/"):
            path = "/" + path.lstrip("/")
    return StoreUrl(kind, path, options)
