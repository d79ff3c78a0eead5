"""Where input artifacts come from when no task made them (SPEC-6): `raw`, `local` and `http`; see also `git`.

Law: a fetcher brings one file or folder to the place that it is given and leaves nothing there when it fails. What it
says when it fails holds no header, no query and no credentials, for secrets stand there.
"""

from __future__ import annotations

import socket
import ssl
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

from aether_protocol.errors import PortError
from aether_protocol.execution.staging.limits import Budget, Limits
from aether_protocol.expressions.values import Json, as_text
from aether_protocol.plan.config_fields import ConfigField
from aether_protocol.ports.artifacts import AbsentError

MAX_REDIRECTS: Final = 5
TIMEOUT_S: Final = 60.0  # of a connect and of each read, not of the whole
_ABSENT: Final = (404, 410)
_WORDS: Final = {
    "RemoteProtocolError": "the answer is not HTTP, or broke off",
    "ReadError": "the connection broke off",
    "DecodingError": "the answer cannot be decoded",
    "UnsupportedProtocol": "the address is malformed",
    "InvalidURL": "the address is malformed",
}


class RawFetcher:
    """A text that stands in the document."""

    name = "raw"
    config: tuple[ConfigField, ...] = (ConfigField("text", "string", "The text of the file.", required=True),)

    def fetch(self, config: Mapping[str, Json], target: Path, origin: str | None = None) -> None:
        """Write the text to `target`. Raises PortError."""
        text = config.get("text")
        if text is None:
            raise PortError("source raw needs a text")
        try:
            target.write_bytes(as_text(text).encode("utf-8", "replace"))
        except OSError as fault:
            raise PortError(f"source raw: cannot write: {(fault.strerror or str(fault)).lower()}") from fault


class LocalFetcher:
    """A file or folder of this machine. A relative path is relative to `root`, by default the folder of the document, the
    engine's working directory where that has none."""

    name = "local"
    config: tuple[ConfigField, ...] = (
        ConfigField("path", "string", "The file or folder; relative to the document.", required=True),
    )

    def __init__(self, root: str | Path | None = None, limits: Limits | None = None) -> None:
        self._root = root
        self._limits = limits or Limits()

    def fetch(self, config: Mapping[str, Json], target: Path, origin: str | None = None) -> None:
        """Copy the file or folder to `target`. Raises PortError."""
        path = config.get("path")
        if not isinstance(path, str) or not path or "\0" in path:
            raise PortError("source local needs a path")
        source = Path(self._root or origin or Path.cwd(), path)
        try:
            if source.is_dir():
                from aether_protocol.execution.staging.packing import pack  # here: few runs fetch a folder
                from aether_protocol.execution.staging.unpacking import unpack

                # Through an archive: so a folder keeps what any folder artifact keeps, and links are checked.
                packed = target.with_name(f"{target.name}.tar")
                pack(source, "tar", packed, self._limits)
                unpack(packed, "tar", target, self._limits)
                packed.unlink()
            elif source.is_file():
                with source.open("rb") as content, target.open("xb") as sink:
                    Budget(self._limits).copy(content, sink.write)
                target.chmod(stat.S_IMODE(source.stat().st_mode))
            else:
                raise AbsentError(f"source local: nothing lies at {str(source)!r}")
        except OSError as fault:
            raise PortError(f"source local: {path!r} cannot be read: {(fault.strerror or str(fault)).lower()}") from fault


class HttpFetcher:
    """What an http or https address answers to GET. Needs the extra `http`."""

    name = "http"
    config: tuple[ConfigField, ...] = (
        ConfigField("url", "string", "An absolute http: or https: address.", required=True),
        ConfigField("headers", "object", "Request headers; they go to this address alone and not where it redirects to."),
    )

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()

    def fetch(self, config: Mapping[str, Json], target: Path, origin: str | None = None) -> None:
        """Download to `target`. Raises PortError for anything but a status from 200 to 299."""
        url, headers = config.get("url"), config.get("headers") or {}
        if not isinstance(url, str) or not isinstance(headers, dict):
            raise PortError("source http needs a url, and headers as an object")
        try:
            import httpx2
        except ImportError:
            raise PortError("source http needs the package httpx2", hint="pip install 'aether-protocol[http]'") from None
        try:
            with httpx2.Client(timeout=TIMEOUT_S, follow_redirects=False) as client:
                self._download(client, url, {key: as_text(value) for key, value in headers.items()}, target)
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError) as fault:
            target.unlink(missing_ok=True)
            raise PortError(f"source http: {_address(url)} failed: {_reason(fault)}") from None
        except (UnicodeError, TypeError, ValueError):
            target.unlink(missing_ok=True)
            raise PortError(f"source http: {_address(url)} cannot be asked: a header or the address is malformed") from None
        except (OSError, PortError) as fault:
            target.unlink(missing_ok=True)
            if isinstance(fault, PortError):
                raise
            raise PortError(f"source http: cannot write: {(fault.strerror or '').lower()}") from fault

    def _download(self, client: Any, url: str, headers: dict[str, str], target: Path) -> None:
        """Follow redirects by hand: headers, tokens above all, go to the origin that the document names and no other."""
        origin = _origin(url)
        for _ in range(MAX_REDIRECTS + 1):
            if urlsplit(url).scheme not in ("http", "https"):
                raise PortError(f"source http: {_address(url)} is not an http or https address")
            with client.stream("GET", url, headers=headers if _origin(url) == origin else {}) as response:
                if response.is_redirect and "location" in response.headers:
                    url = urljoin(url, response.headers["location"])
                    continue
                if not 200 <= response.status_code <= 299:
                    kind = AbsentError if response.status_code in _ABSENT else PortError
                    raise kind(f"source http: {_address(url)} answered {response.status_code}")
                budget = Budget(self._limits)
                with target.open("xb") as sink:
                    for chunk in response.iter_bytes():
                        budget.take(len(chunk))
                        sink.write(chunk)
                return
        raise PortError(f"source http: more than {MAX_REDIRECTS} redirects")


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


def _address(url: str) -> str:
    """Scheme, host, port and path: what may be shown. User, password and query may be secret."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port is not None else ""
        return repr(f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}")
    except ValueError:
        return "the url"


def _reason(fault: BaseException) -> str:
    """Why there was no answer, in few words: what lies at the bottom of it counts."""
    chain = [fault]
    while (below := chain[-1].__cause__ or chain[-1].__context__) is not None and below not in chain:
        chain.append(below)
    for one in chain:
        if isinstance(one, TimeoutError) or "Timeout" in type(one).__name__:
            return f"timeout after {TIMEOUT_S:.0f} s"
        if isinstance(one, ssl.SSLError):
            return f"TLS: {one.reason or type(one).__name__}".lower().replace("_", " ")
        if isinstance(one, socket.gaierror):
            return "the host name is not known (DNS)"
        if isinstance(one, ConnectionRefusedError):
            return "connection refused"
        if isinstance(one, OSError) and one.strerror:
            return one.strerror.lower()
    return _WORDS.get(type(fault).__name__, type(fault).__name__)
