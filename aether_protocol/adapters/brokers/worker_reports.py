"""What workers report of deliveries: of runs that this server drives it goes to the engine, of others to the server that does.

Law: the fleet of this server hears of all of it, for the workers are here. What is passed on is acknowledged by the other
server alone: what did not reach it is not in the receipt, and its worker sends it again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

from msgspec.structs import replace

from aether_protocol.adapters.brokers.elsewhere import Elsewhere, NowhereElse, Relay, joined, parted
from aether_protocol.adapters.brokers.log_gate import LogGate, Way
from aether_protocol.adapters.brokers.tokens import Tokens
from aether_protocol.adapters.brokers.worker_logs import WorkerLogs
from aether_protocol.adapters.brokers.worker_results import WorkerResults, serves
from aether_protocol.expressions.json_copy import clean
from aether_protocol.fleet import events as e
from aether_protocol.fleet.machine import Fleet
from aether_protocol.ports.broker import ResultSink
from aether_protocol.ports.clock import Clock
from aether_protocol.ports.worker import Receipt, WorkReport

_NOTHING = WorkReport()


class WorkerReports:
    """Takes in reports, in the order of their parts.

    Args:
        fleet: that of the broker; events go to it through `send`.
        tokens: reads tokens of deliveries.
        send: lets the fleet take an event in, and carries out what it orders.
        logs: takes logs.
        results: takes results.
    """

    def __init__(
        self,
        fleet: Fleet,
        tokens: Tokens,
        send: Callable[[e.Event], None],
        logs: WorkerLogs,
        results: WorkerResults,
        *,
        clock: Clock,
    ) -> None:
        self.sink: ResultSink
        self.elsewhere: Elsewhere = NowhereElse()
        self._fleet = fleet
        self._tokens = tokens
        self._send = send
        self._logs = logs
        self._results = results
        self._clock = clock
        self._gate = LogGate()

    async def take(
        self, name: str, report: WorkReport, namespaces: frozenset[str] | None, *, in_session: bool
    ) -> Receipt:
        """Take in a report. Returns when its results are recorded, or after RECORD_S.

        Args:
            name: of the session.
            report: what its worker said.
            namespaces: those that it may serve; None: all.
            in_session: whether the session is there; else results alone count.
        """
        if not self._is_of_worker(name):
            return await self._take(name, report, namespaces, in_session=in_session)
        if report.logs:
            report = replace(report, logs=self._gate.admit(name, report.logs, self._way_of))
        own, parts = parted(report, self._tokens, self.elsewhere)
        if report == _NOTHING:  # what is stored of logs?
            parts = [(relay, report) for relay in self.elsewhere.logged(name)]
        answers = [self._take(name, own, namespaces, in_session=in_session)]
        answers += [self._pass_on(name, relay, part, namespaces) for relay, part in parts]
        receipt = joined(await asyncio.gather(*answers)) if parts else await answers[0]
        self._gate.stored(name, receipt.logged)
        return receipt

    def relay(self, name: str, run_id: str) -> Relay | None:
        """Return the way to the server that drives a run, for a session of a worker; None: this one looks after it itself."""
        return self.elsewhere.relay(run_id) if self._is_of_worker(name) else None

    def _way_of(self, token: str) -> Way:
        """By which way logs of a delivery are stored now. A new session of this server there is a new one."""
        holding = self._tokens.read(token)
        relay = None if holding is None else self.elsewhere.relay(holding.ref.run_id)
        return None if relay is None else (id(relay), relay.session)

    def _is_of_worker(self, name: str) -> bool:
        """Whether this is a session of a worker. What another server has passed on is not passed on again: each of two might
        take the other one for the one that drives the run."""
        session = self._fleet.state.sessions.get(name)
        return session is not None and not session.via

    async def _take(
        self, name: str, report: WorkReport, namespaces: frozenset[str] | None, *, in_session: bool
    ) -> Receipt:
        absent = await self._results.absent(report.results)
        unknown: list[str] = []
        self._begun(name, report, unknown)
        for progress in report.progress:
            for one in self._of_session(name, [progress.token], unknown):
                self.sink.heartbeat(one.ref, progress.details)
        for log in report.logs if in_session else ():  # else all of it comes again, in order, with the next session
            self._logs.take(name, log, unknown)  # also of deliveries that have ended: they may follow the result
        recording = self._results.take(report.results, absent, namespaces, unknown)
        for one in recording.reported:
            self.elsewhere.wanted(one.ref.run_id)
        self._ended(name, recording.reported, report, unknown)
        receipt = Receipt(unknown=unknown)
        if recording.reported:
            await recording.wait()
            receipt.recorded = [*recording.recorded]
            self._send(e.Recorded(self._clock.now(), [*recording.recorded.values()]))
        elif report.logs or report == _NOTHING:
            await self._logs.settled(name)
        receipt.logged = self._logs.receipts(name)
        return receipt

    async def _pass_on(
        self, name: str, relay: Relay, report: WorkReport, namespaces: frozenset[str] | None
    ) -> Receipt:
        """Take in what became of deliveries of another server, and let it hear of what is this session's to say."""
        unknown: list[str] = []
        results = [one for one in report.results if self._may_report(one.token, namespaces, unknown)]
        passed = WorkReport(
            started=[one for one in report.started if self._of_session(name, [one], unknown)],
            progress=[one for one in report.progress if self._of_session(name, [one.token], unknown)],
            logs=report.logs,
            results=results,
            died=[one for one in report.died if self._of_session(name, [one.token], unknown)],
            returned=[one for one in report.returned if self._of_session(name, [one.token], unknown)],
        )
        self._begun(name, passed, [])
        self._ended(name, self._tokens.read_all(one.token for one in results), passed, [])
        receipt = await relay.report(name, passed)
        if receipt is None:
            self._gate.failed(name, passed.logs)
            receipt = Receipt()
        self._send(e.Recorded(self._clock.now(), self._tokens.read_all(receipt.recorded)))
        receipt.unknown += unknown
        return receipt

    def _begun(self, name: str, report: WorkReport, unknown: list[str]) -> None:
        started = self._of_session(name, report.started, unknown)
        if started:
            self._send(e.Started(self._clock.now(), name, started))

    def _ended(self, name: str, results: Sequence[e.Holding], report: WorkReport, unknown: list[str]) -> None:
        now = self._clock.now()
        if results:
            self._send(e.Finished(now, name, results))
        for died in report.died:
            for one in self._of_session(name, [died.token], unknown):
                self._send(e.Died(now, name, one, clean(died.reason)))
        for returned in report.returned:
            held = self._of_session(name, [returned.token], unknown)
            self._send(e.Returned(now, name, held, clean(returned.reason), returned.refused))

    def _may_report(self, token: str, namespaces: frozenset[str] | None, unknown: list[str]) -> bool:
        holding = self._tokens.read(token)
        if holding is not None and serves(namespaces, holding):
            return True
        unknown.append(token)
        return False

    def _of_session(self, name: str, tokens: Iterable[str], unknown: list[str]) -> list[e.Holding]:
        """What tokens name, of the deliveries that this session has."""
        found: list[e.Holding] = []
        for token in tokens:
            holding = self._tokens.read(token)
            delivery = self._fleet.state.deliveries.get(holding.number) if holding is not None else None
            if holding is None or delivery is None or delivery.session != name:
                unknown.append(token)
            else:
                found.append(holding)
        return found
