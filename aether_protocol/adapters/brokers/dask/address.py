"""Where a Dask scheduler is: the URL `dask://HOST:PORT`, taken apart, and whether something answers there.

Law: a scheduler that is away later is waited for; one that never was there is an error.
"""

from __future__ import annotations

import socket
from typing import Final
from urllib.parse import parse_qs, urlsplit

from msgspec import Struct

from aether_protocol.errors import PortError, UsageError

REACH_S: Final = 5.0


class DaskUrl(Struct, frozen=True):
    """A URL taken apart. `modules` are imported in each child process."""

    host: str
    port: int
    tls: bool = False
    modules: tuple[str, ...] = ()

    @property
    def address(self) -> str:
        """The address, as Dask writes it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'tls' if self.tls else 'tcp'}://{host}:{self.port}"


def read_dask_url(url: str) -> DaskUrl:
    """Take a URL apart; options are `import=MODULE` (several) and `tls=true`.

    Raises:
        UsageError: it is not of this form.
    """
    split = urlsplit(url)
    options = parse_qs(split.query, keep_blank_values=True)
    try:
        host, port = split.hostname, split.port
    except ValueError:
        host, port = None, None
    unknown = sorted(options.keys() - {"import", "tls"})
    if not host or port is None or split.path.strip("/") or unknown:
        fault = f"has no option {unknown[0]!r}" if unknown and host and port else "names no host and port"
        raise UsageError(f"the broker {url!r} {fault}", hint="like dask://127.0.0.1:8786?import=my_executors")
    tls = options.get("tls", [""])[-1] in ("true", "1", "yes")
    return DaskUrl(host, port, tls, tuple(options.get("import", [])))


def require_scheduler(url: DaskUrl) -> None:
    """See whether something answers there. Raises PortError."""
    try:
        socket.create_connection((url.host, url.port), REACH_S).close()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        hint = "is `dask scheduler` running there? Its log names its address"
        raise PortError(f"the Dask scheduler at {url.address} cannot be reached: {reason}", hint=hint) from error
