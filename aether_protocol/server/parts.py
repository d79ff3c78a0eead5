"""What a server is made of: the client that answers, the broker for workers, and what bounds requests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Final

from litestar.datastructures import State
from msgspec import Struct, field

from aether_protocol.adapters.artifacts.transfers import ArtifactTransfers
from aether_protocol.adapters.brokers.workers import WorkerBroker
from aether_protocol.ports.store import ServerStore
from aether_protocol.server.gate import AccessRules
from aether_protocol.server.hosting.known_workers import KnownWorkers
from aether_protocol.service.access.administration import AccessAdministration
from aether_protocol.service.access.audit import AuditTrail
from aether_protocol.service.access.caller import Caller
from aether_protocol.service.access.guarded import ScopedClient
from aether_protocol.service.access.scope import NamespaceDirectory

if TYPE_CHECKING:
    from aether_protocol.server.metrics import ServerMetrics
    from aether_protocol.server.oidc.provider import OidcProvider
    from aether_protocol.server.relay.forwarding import Forwarding
    from aether_protocol.server.relay.spill import Spill
    from aether_protocol.server.relay.whole_fleet import WholeFleet

MOST_BODY_BYTES: Final = 10 * 2**20
SessionMaker = Callable[[str, Mapping[str, str], float], Awaitable[tuple[str, Caller]]]  # of a name, roles and seconds


def _always() -> bool:
    return True


class ServerParts(Struct, frozen=True, kw_only=True):
    """What `make_app` puts together.

    Args:
        client: what the clients of callers stand on; it belongs to an engine of this process.
        trail: where it is written down what callers change; None: nowhere.
        directory: the namespaces that were declared; None: none are.
        administer: gives a caller what looks after tokens, namespaces and the audit; None: it cannot be done here.
        servers: those of the store; None: they are not listed.
        workers: the broker that gives attempts to the workers that call in; None: this server takes none.
        forwarding: passes calls on for sessions of other servers; None: there are none.
        spill: takes what other servers offer; None: nothing is taken.
        fleet: answers for the workers of all servers; None: there are no others.
        known_workers: keeps which workers there are; None: they are not kept.
        access: how callers are known; by default authentication is off, and the server answers this machine alone.
        oidc: where people log in; None: with tokens alone.
        make_session: makes the token of a person who logged in there.
        artifacts: what workers fetch and send; None: tasks with artifacts end in an Error there.
        metrics: what is counted; None: nothing is.
        shows_metrics: whether `/metrics` answers with it here.
        is_ready: whether requests are taken now.
        public_url: under which address others reach it, where that is another one.
        most_body_bytes: the longest body of a request.
    """

    client: ScopedClient | None = None
    trail: AuditTrail | None = None
    directory: NamespaceDirectory | None = None
    administer: Callable[[Caller], AccessAdministration] | None = None
    servers: ServerStore | None = None
    workers: WorkerBroker | None = None
    forwarding: Forwarding | None = None  # type: ignore[name-defined,unused-ignore]
    spill: Spill | None = None  # type: ignore[name-defined,unused-ignore]
    fleet: WholeFleet | None = None  # type: ignore[name-defined,unused-ignore]
    known_workers: KnownWorkers | None = None
    access: AccessRules = field(default_factory=AccessRules)
    oidc: OidcProvider | None = None  # type: ignore[name-defined,unused-ignore]
    make_session: SessionMaker | None = None
    artifacts: ArtifactTransfers | None = None
    metrics: ServerMetrics | None = None
    shows_metrics: bool = True
    is_ready: Callable[[], bool] = _always
    public_url: str | None = None
    most_body_bytes: int = MOST_BODY_BYTES


def parts_of(state: State) -> ServerParts:
    """Return the parts of the server that handles this request."""
    parts: ServerParts = state.parts
    return parts
