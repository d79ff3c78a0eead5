"""How a server is run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from aether_protocol.errors import UsageError
from aether_protocol.server.hosting.listening import tls_of

if TYPE_CHECKING:
    from aether_protocol.assembly.configuration import Configuration
    from aether_protocol.server.oidc.provider import OidcSettings


class HostSettings(Struct, frozen=True, kw_only=True):
    """How a server is run.

    Args:
        host, port: where it listens; port 0 is a free one.
        ports: how many ports are tried, from `port` on: the first one that is free is taken.
        grpc_port: a port that speaks gRPC and HTTP, 0 a free one; None: there is none.
        tls_cert, tls_key: files of a certificate and its key; with them it speaks TLS alone.
        public_url: under which address others reach it.
        advertise: under which address the other servers of its store reach it; by default that at which it listens.
        cors: origins whose web pages may use it.
        token: makes its bearer an admin; None: authentication is off unless the store has tokens.
        slots: what the embedded worker offers; `tasks` is the number of processors unless given.
        broker: the URL of the engine that carries attempts out, in place of workers that call in; None: these.
        workers: whether there is an embedded worker.
        cron: whether the schedules of the store are served.
        adopts: whether runs that no engine drives are taken; without, only those are driven that begin here, or
            that no engine drives and that are answered or cancelled here.
        grace_s: how long attempts of the embedded worker may continue once the server is asked to leave.
        lease_s: how long a worker that gives no sign of life keeps what it has.
        metrics: whether `/metrics` is answered.
        metrics_port: a port of its own for it, 0 a free one; None: that of HTTP.
        documents: a folder whose documents are applied, and followed.
        modules: whose `executors` and `functions` the embedded worker has besides the installed ones.
        oidc: where people log in; None: with tokens alone.
        hidden: variables of its environment that programs of the embedded worker do not get.
        secrets, workspaces, library: as for `Engine`; of what is left out the configuration counts.
    """

    host: str = "127.0.0.1"
    port: int = 7234
    ports: int = 1
    grpc_port: int | None = None
    tls_cert: str | None = None
    tls_key: str | None = None
    public_url: str | None = None
    advertise: str | None = None
    cors: Sequence[str] = ()
    token: str | None = None
    slots: dict[str, int] = {}
    broker: str | None = None
    workers: bool = True
    cron: bool = True
    adopts: bool = True
    grace_s: float = 10.0
    lease_s: float = 30.0
    metrics: bool = True
    metrics_port: int | None = None
    secrets: Sequence[str] = ()
    workspaces: str | None = None
    library: Sequence[str] = ()
    documents: str | None = None
    modules: Sequence[str] = ()
    hidden: Sequence[str] = ()
    oidc: OidcSettings | None = None  # type: ignore[name-defined,unused-ignore]
    configuration: Configuration | None = None  # type: ignore[name-defined,unused-ignore]

    def check(self) -> None:
        """Raise UsageError for what cannot be."""
        if self.workers and self.broker is not None:
            raise UsageError("a server that gives its tasks to another engine has no worker of its own", hint="--no-workers")
        if self.documents is not None and not os.path.isdir(self.documents):
            hint = "--documents, or `documents` in [server] of aether.toml, names a folder with documents"
            raise UsageError(f"there is no folder {self.documents!r}", hint=hint)
        if (self.tls_cert is None) != (self.tls_key is None):
            raise UsageError("a certificate needs its key, and a key its certificate", hint="give --tls-cert and --tls-key")
        tls_of(self.tls_cert, self.tls_key)
        if self.modules and not self.workers:
            hint = "give --import to the workers: 'aether worker --import MODULE'"
            raise UsageError("a server without a worker of its own imports no modules", hint=hint)
