"""What the broker for workers asks of the servers beside this one: runs that they drive may have attempts at workers here.

Law: who drives a run is not decided here, and nothing is kept for it here: a worker keeps a result until the server that drives
its run has recorded it, and logs until that one has stored them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Protocol, TypeVar

from msgspec import Struct

from aether_protocol.adapters.brokers.tokens import Tokens
from aether_protocol.ports.worker import Hello, Receipt, SecretAnswer, SecretRequest, WorkReport

_Part = TypeVar("_Part")


def place_of(owner: str) -> str:
    """Return how sessions of a server begin, from the name by which the store knows it."""
    return owner.rpartition("-")[2]


class PeerHello(Hello, kw_only=True):
    """A server begins a session at another one. `place`: how sessions of the server that is meant begin. One that has come to
    its address meanwhile refuses: what is held of the other one's runs may be old, and less than what this one knows of."""

    place: str = ""


class RelayedAnswer(Struct):
    """What the other server answers. `pieces` has to be read to its end, or closed."""

    status: int
    headers: Mapping[str, str]
    pieces: AsyncIterator[bytes]


class Relay(Protocol):
    """The way to one server, for what workers of this one have of its runs."""

    @property
    def session(self) -> str:
        """The session that this server has there; empty: none now."""
        ...

    async def report(self, session: str, report: WorkReport) -> Receipt | None:
        """Pass on what a session reported; None: it did not arrive, as far as is known."""
        ...

    async def secrets(self, request: SecretRequest) -> SecretAnswer:
        """Ask for texts of secrets. Raises what `WorkerBroker.secrets` raises."""
        ...

    async def artifact(
        self, method: str, digest: str, headers: Mapping[str, str], body: AsyncIterator[bytes] | None = None
    ) -> RelayedAnswer:
        """Ask for an artifact, or send one, for a delivery that the headers name. Raises PortError."""
        ...


class Elsewhere(Protocol):
    """Which runs other servers drive, as far as workers here have attempts of them."""

    def relay(self, run_id: str) -> Relay | None:
        """Return the way to the server that drives the run; None: this one does, or it is not known which."""
        ...

    def logged(self, session: str) -> Sequence[Relay]:
        """Return the ways by which logs of this session went of which is not known whether they are stored."""
        ...

    def wanted(self, run_id: str) -> None:
        """A result came of a run that no relay is known for."""
        ...

    def changed(self, run_id: str) -> None:
        """Something of this run is not at a worker here any more."""
        ...


class NowhereElse:
    """See `Elsewhere`: there is no other server."""

    def relay(self, run_id: str) -> Relay | None:
        return None

    def logged(self, session: str) -> Sequence[Relay]:
        return ()

    def wanted(self, run_id: str) -> None:
        """There is no server to be found."""

    def changed(self, run_id: str) -> None:
        """No other server has to hear of it."""


def parted(report: WorkReport, tokens: Tokens, elsewhere: Elsewhere) -> tuple[WorkReport, Sequence[tuple[Relay, WorkReport]]]:
    """Part a report into what is of this server, and what is of others."""
    relays: dict[str, Relay | None] = {}

    def relay_of(token: str) -> Relay | None:
        holding = tokens.read(token)
        if holding is None:
            return None
        run_id = holding.ref.run_id
        if run_id not in relays:
            relays[run_id] = elsewhere.relay(run_id)
        return relays[run_id]

    parts: dict[Relay | None, WorkReport] = {None: WorkReport(log_bytes_dropped=report.log_bytes_dropped)}

    def part(entries: Sequence[_Part], token: Callable[[_Part], str], to: Callable[[WorkReport], list[_Part]]) -> None:
        for one in entries:
            to(parts.setdefault(relay_of(token(one)), WorkReport())).append(one)

    part(report.started, str, lambda one: one.started)
    part(report.progress, lambda one: one.token, lambda one: one.progress)
    part(report.logs, lambda one: one.token, lambda one: one.logs)
    part(report.results, lambda one: one.token, lambda one: one.results)
    part(report.died, lambda one: one.token, lambda one: one.died)
    part(report.returned, lambda one: one.token, lambda one: one.returned)
    own = parts.pop(None)
    return own, [(relay, one) for relay, one in parts.items() if relay is not None]


def joined(receipts: Sequence[Receipt]) -> Receipt:
    """Return the receipt of a report from those of its parts."""
    return Receipt(
        recorded=[token for one in receipts for token in one.recorded],
        unknown=[token for one in receipts for token in one.unknown],
        logged=[log for one in receipts for log in one.logged],
    )
