"""What comes from outside of a broker (payloads of resumes, results by hand) is masked before it enters a run (DATA-12).

A broker masks what its executors say, since the texts are there; it is masked once more with what is known here, for workers
may be elsewhere. The loop of the engine never waits for a provider: what needs one is put into the inbox when the provider has
answered. What a broker reports waits for HOLD_S at most, since it was masked where the attempt ran.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from aether_protocol.engine.active_run import ActiveRun
from aether_protocol.engine.recovery import secret_references
from aether_protocol.errors import UsageError
from aether_protocol.execution.masking import MASK, Masker
from aether_protocol.execution.secrets import SecretBook
from aether_protocol.scheduler.events import ResumeRequested
from aether_protocol.scheduler.state import RunState

Put = Callable[[Masker | None, UsageError | None], None]

HOLD_S: Final = 10.0  # that reports of a run wait for what masks them once more
_PLAIN: Final = (True, False, None)


def mask_resume(event: ResumeRequested, masker: Masker | None, unmasked: UsageError | None) -> UsageError | None:
    """Mask what a resume brings from outside.

    Args:
        event: it.
        masker: of its run; None: the run has used no secret.
        unmasked: why that does not know all that the run has used.

    Returns:
        Why the answer is refused, where it may hold what cannot be masked; `approved` alone holds no text.
    """
    if unmasked is not None:
        if not all(key == "approved" and any(value is one for one in _PLAIN) for key, value in event.payload.items()):
            return unmasked
        event.reason = MASK if event.reason else ""
    elif masker is not None:
        event.reason = masker.text(event.reason)
        event.payload = masker.value(event.payload)
    return None


class HeldReports:
    """Reports of a run, in the order in which they came, and how many questions to providers have no answer yet."""

    __slots__ = ("asks", "reports")

    def __init__(self) -> None:
        self.asks = 0
        self.reports: list[Callable[[], None]] = []


class OutsideAnswers:
    """Masks answers from outside. `book` has the providers of the engine."""

    def __init__(self, book: SecretBook) -> None:
        self._book = book
        self._asking: dict[asyncio.Task[None], tuple[ActiveRun, Callable[[], None]]] = {}
        self._held: dict[ActiveRun, HeldReports] = {}  # reports of runs whose secrets are being asked for

    def take(self, run: ActiveRun, put: Put, drop: Callable[[], None] = lambda: None) -> None:
        """Call `put` with the masker of the run: now, or once the providers of its secrets have answered; where they did not
        give all that the run has used, also with the error that says so.

        `drop` is called in its place where the engine is closed first.
        """
        if not run.secrets:
            put(None, None)
            return
        known = self._book.at_once(run.id, run.plan.namespace, run.secrets)
        if known is not None:
            put(known.masker, self._unmasked(run))
            return
        task = asyncio.get_running_loop().create_task(self._ask(run, put), name="aether-secrets")
        self._asking[task] = run, drop
        task.add_done_callback(self._asked)

    def mask_at_once(self, run: ActiveRun, text: str) -> str:
        """Mask a text without waiting for a provider; `***` in its place where the secrets of the run are not at hand."""
        return self._book.mask_at_once(run.id, run.plan.namespace, run.secrets, text)

    def mask_then(self, run: ActiveRun, text: str, then: Callable[[str], None]) -> None:
        """Call `then` with the text, masked: now, or once the providers have answered; `***` in its place where the secrets of
        the run cannot be had."""

        def masked(masker: Masker | None, unmasked: UsageError | None) -> None:
            then(MASK if unmasked is not None else text if masker is None else masker.text(text))

        self.take(run, masked)

    def known(self, run: ActiveRun) -> Masker | None:
        """The masker of a run with what is known here, for what its broker reports: a worker elsewhere masks it, and others may
        speak in its name. Providers are asked once for what the run comes to use; what they do not have is not masked: an
        engine need not have the secrets of its workers."""
        if run.secrets != run.asked_secrets:
            run.asked_secrets, run.masking = run.secrets, self._book.of(run.id)
            held = self._held.setdefault(run, HeldReports())
            held.asks += 1
            self.take(run, lambda *_: self._answered(run, held), held.reports.clear)
            if self._held.get(run) is held:
                asyncio.get_running_loop().call_later(HOLD_S, self._let_go, run, held)
        return None if run.masking is None else run.masking.masker

    def holds(self, run: ActiveRun, report: Callable[[], None]) -> bool:
        """Say whether a report waits for the masker of its run, behind those that came before; it is called when it may
        go on."""
        self.known(run)
        held = self._held.get(run)
        if held is None:
            return False
        held.reports.append(report)
        return True

    def _answered(self, run: ActiveRun, held: HeldReports) -> None:
        held.asks -= 1
        if not held.asks:
            self._let_go(run, held)

    def _let_go(self, run: ActiveRun, held: HeldReports) -> None:
        """The providers have answered all that was asked, or are not waited for any longer."""
        if self._held.get(run) is held:
            del self._held[run]
            for report in held.reports:
                report()

    async def mask(self, state: RunState, text: str) -> str:
        """Mask a text about any run; `***` in its place where the secrets that the run has used cannot be had."""
        header, references = state.header, sorted(secret_references(state))
        return await self._book.mask(header.run_id, state.plan.namespace, references, text)

    async def _ask(self, run: ActiveRun, put: Put) -> None:
        known = await self._book.recall(run.id, run.plan.namespace, run.secrets)
        put(known.masker, self._unmasked(run))

    def _unmasked(self, run: ActiveRun) -> UsageError | None:
        lacking = self._book.lacks(run.id, run.secrets)
        if not lacking:
            return None
        name, key = lacking[0]
        text = f"what was sent cannot be masked: secret {name!r}, key {key!r}, which the run has used, cannot be read now"
        return UsageError(text, hint="answer again once its provider has it; approved=true or false alone needs no mask")

    def _asked(self, task: asyncio.Task[None]) -> None:
        _, drop = self._asking.pop(task)
        if task.cancelled():
            drop()

    def asks_for(self, run: ActiveRun) -> bool:
        """Whether an answer for this run waits for a provider."""
        return any(waiting is run for waiting, _ in self._asking.values())

    @property
    def busy(self) -> bool:
        """Whether an answer waits for a provider."""
        return bool(self._asking)

    async def quiet(self) -> None:
        """Return once no answer waits."""
        while self._asking:
            await asyncio.wait(list(self._asking))

    async def close(self) -> None:
        """Drop the answers that still wait."""
        for task in self._asking:
            task.cancel()
        await self.quiet()
