"""Secrets: their texts, filled into an attempt where it is carried out, and known there for masking (DATA-12).

Law: the text of a secret is here, in the attempt that runs and in the masker of its run, and nowhere else. An assignment names
the secrets that its run has used so far; what waits in a queue holds references alone. A run gets secrets of its own namespace,
and of no other (RT-138): providers are asked here alone, and each time with the namespace.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, cast
from weakref import WeakValueDictionary

from msgspec.structs import replace

from aether_protocol.errors import PortError
from aether_protocol.execution.masking import MASK, Masker
from aether_protocol.execution.threads import Threads
from aether_protocol.expressions.json_copy import is_whole
from aether_protocol.expressions.values import Json, SecretValue
from aether_protocol.ports.secrets import DEFAULT_NAMESPACE, NamespacedSecretProvider, SecretProvider
from aether_protocol.ports.wire import TaskAssignment

RECENT: Final = 256  # runs whose maskers are kept ready between their attempts
AT_ONCE: Final = 8  # threads in which providers are asked: what lies behind them is one vault, and often limits its clients
ASK_S: Final = 30.0  # for all that one attempt needs; a vault that takes longer is down

Reference = tuple[str, str]  # name, key


class MissingSecretError(Exception):
    """No provider has it. The text names name and key."""


class SecretsAwayError(MissingSecretError):
    """A provider does not answer, or fails: it may have it, and another time it can be asked."""


class RunSecrets:
    """What is known of the secrets of one run. `masker` is None as long as none went out."""

    __slots__ = ("__weakref__", "known", "masker")

    def __init__(self) -> None:
        self.masker: Masker | None = None
        self.known: set[Reference] = set()


class SecretBook:
    """The providers, asked in order anew for every attempt, and what they gave to each run.

    Providers that may block are asked in threads of this book, at most AT_ONCE at once and for at most ASK_S: one that hangs
    delays those that wait for it, and neither the event loop nor executors. The others answer on the spot.
    """

    def __init__(self, providers: Sequence[SecretProvider]) -> None:
        self.providers = tuple(providers)
        self._threads = Threads(AT_ONCE)
        self._runs: WeakValueDictionary[str, RunSecrets] = WeakValueDictionary()
        self._recent: deque[RunSecrets] = deque(maxlen=RECENT)  # attempts hold theirs, too
        self._last = "", RunSecrets()  # what was asked for last, which mostly is asked for again

    def of(self, run_id: str) -> RunSecrets:
        """The secrets of this run."""
        if run_id == self._last[0]:
            return self._last[1]
        run = self._runs.get(run_id)
        if run is None:
            run = self._runs[run_id] = RunSecrets()
            self._recent.append(run)
        self._last = run_id, run
        return run

    # --- masking ---

    def at_once(self, run_id: str, namespace: str, used: Iterable[Reference]) -> RunSecrets | None:
        """The secrets of this run with those that it has `used`; None where providers must be asked that may block."""
        missing = self._missing(run_id, used)
        if missing and self._may_block():
            return None
        return self._learned(run_id, _texts(self.providers, namespace, (), missing))

    async def recall(self, run_id: str, namespace: str, used: Iterable[Reference]) -> RunSecrets:
        """The secrets of this run, with those that it has `used` so far, as far as they can still be had."""
        texts: Mapping[Reference, str] = {}
        with contextlib.suppress(MissingSecretError):  # no provider answered in time
            texts = await self._ask(namespace, (), self._missing(run_id, used))
        return self._learned(run_id, texts)

    async def mask(self, run_id: str, namespace: str, used: Iterable[Reference], text: str) -> str:
        """Mask a text that a person wrote, with what its run has `used`; MASK in its place where not all of it can be had."""
        references = tuple(used)
        await self.recall(run_id, namespace, references)
        return self.mask_at_once(run_id, namespace, references, text)

    def mask_at_once(self, run_id: str, namespace: str, used: Iterable[Reference], text: str) -> str:
        """`mask` without waiting for a provider: what is not at hand cannot be had."""
        references = tuple(used)
        known = self.at_once(run_id, namespace, references)
        if known is None or self._missing(run_id, references):
            return MASK
        return text if known.masker is None else known.masker.text(text)

    def lacks(self, run_id: str, used: Iterable[Reference]) -> list[Reference]:
        """The secrets that a run has `used` and whose texts are not known here: what holds them cannot be masked."""
        return self._missing(run_id, used)

    # --- filling in ---

    def must_wait(self, assignment: TaskAssignment) -> bool:
        """Whether `fill` may have to wait for a provider, so that `fill_at_once` may not be used."""
        return self._may_block() and (assignment.secret or bool(self._missing(assignment.run_id, assignment.secrets)))

    def fill_at_once(self, assignment: TaskAssignment) -> TaskAssignment:
        """`fill`, where the caller knows that it need not wait. Raises MissingSecretError."""
        return self._filled(assignment, _texts(self.providers, assignment.namespace, *self._wanted(assignment)))

    async def fill(self, assignment: TaskAssignment) -> TaskAssignment:
        """The assignment with the texts in it; its run knows them from now on, and all that it names as used.

        Raises MissingSecretError.
        """
        return self._filled(assignment, await self._ask(assignment.namespace, *self._wanted(assignment)))

    async def texts(self, namespace: str, needed: Sequence[Reference]) -> Mapping[Reference, str]:
        """Return the texts of these secrets of a namespace. Raises MissingSecretError."""
        return await self._ask(namespace, needed, ())

    def learn(self, run_id: str, texts: Mapping[Reference, str]) -> None:
        """Note texts that were given to an attempt of a run elsewhere: what comes back is masked with them."""
        self._learned(run_id, texts)

    def _wanted(self, assignment: TaskAssignment) -> tuple[Sequence[Reference], Sequence[Reference]]:
        """What the attempt cannot do without, and what is only to be masked."""
        needed = tuple(dict.fromkeys(references_in(_parts_of(assignment)))) if assignment.secret else ()
        return needed, [one for one in self._missing(assignment.run_id, assignment.secrets) if one not in needed]

    def _filled(self, assignment: TaskAssignment, texts: Mapping[Reference, str]) -> TaskAssignment:
        self._learned(assignment.run_id, texts)
        if not assignment.secret:
            return assignment
        return replace(
            assignment,
            config=_fill(assignment.config, texts),
            inputs=_fill(assignment.inputs, texts),
            artifacts=_fill(assignment.artifacts, texts),
            payloads=_fill(list(assignment.payloads), texts),
            filled=True,
        )

    def _missing(self, run_id: str, used: Iterable[Reference]) -> list[Reference]:
        known = self.of(run_id).known
        return [reference for reference in used if reference not in known]

    def _learned(self, run_id: str, texts: Mapping[Reference, str]) -> RunSecrets:
        run = self.of(run_id)
        if texts:
            run.masker = run.masker or Masker()
            run.masker.learn(texts.values())
            run.known.update(texts)
        return run

    # --- asking ---

    def _may_block(self) -> bool:
        return any(getattr(provider, "blocking", True) for provider in self.providers)

    async def _ask(
        self, namespace: str, needed: Sequence[Reference], others: Sequence[Reference]
    ) -> Mapping[Reference, str]:
        providers = self.providers
        if not (needed or others) or not self._may_block():
            return _texts(providers, namespace, needed, others)
        try:
            return await asyncio.wait_for(self._threads.call(lambda: _texts(providers, namespace, needed, others)), ASK_S)
        except TimeoutError:
            name, key = [*needed, *others][0]
            text = f"secret {name!r}, key {key!r}, cannot be read: no secret provider answered within {ASK_S:g} s"
            raise SecretsAwayError(text) from None


def _texts(
    providers: Sequence[SecretProvider], namespace: str, needed: Iterable[Reference], others: Iterable[Reference]
) -> dict[Reference, str]:
    """The texts of all that is `needed`, and of the `others` as far as they can be had. Raises MissingSecretError."""
    texts = {reference: _text(providers, namespace, *reference) for reference in needed}
    for reference in others:
        with contextlib.suppress(MissingSecretError):
            texts[reference] = _text(providers, namespace, *reference)
    return texts


def _text(providers: Sequence[SecretProvider], namespace: str, name: str, key: str) -> str:
    for provider in providers:
        text = _ask(provider, namespace, name, key)
        if text is not None:
            return text
    where = "" if namespace == DEFAULT_NAMESPACE else f" of namespace {namespace!r}"
    raise MissingSecretError(f"secret {name!r}{where} has no key {key!r} in any of the secret providers")


def _ask(provider: SecretProvider, namespace: str, name: str, key: str) -> str | None:
    """What a provider gives, checked: it is foreign code, and what it says of a failure may hold what must not be shown."""
    try:
        if getattr(provider, "by_namespace", False):
            text = cast("NamespacedSecretProvider", provider).get(name, key, namespace)
        else:
            text = provider.get(name, key) if namespace == DEFAULT_NAMESPACE else None
    except PortError as error:
        raise SecretsAwayError(f"secret {name!r}, key {key!r}, cannot be read: {error.message}") from error
    except Exception as error:
        raise SecretsAwayError(f"secret {name!r}, key {key!r}, cannot be read: {type(error).__name__}") from error
    if text is None:
        return None
    if not isinstance(text, str):
        raise MissingSecretError(f"secret {name!r}, key {key!r}, is of type {type(text).__name__}, not text")
    if not is_whole(text):
        raise MissingSecretError(f"secret {name!r}, key {key!r}, holds half of a surrogate pair, which is not a character")
    return str.__str__(text)


def _fill(value: Json, texts: Mapping[Reference, str]) -> Json:
    if isinstance(value, SecretValue):
        return "".join([part if isinstance(part, str) else texts[part] for part in value.parts])
    if isinstance(value, Mapping):
        return {key: _fill(item, texts) for key, item in value.items()}
    if isinstance(value, list):
        return [_fill(item, texts) for item in value]
    return value


def _parts_of(assignment: TaskAssignment) -> tuple[Json, ...]:
    """The parts of an assignment in which secrets may stand."""
    return assignment.config, assignment.inputs, assignment.artifacts, assignment.payloads


def references_in(values: Iterable[Json]) -> Iterator[Reference]:
    """The (name, key) of all secrets that stand in these values."""
    for value in values:
        if isinstance(value, SecretValue):
            yield from (part for part in value.parts if not isinstance(part, str))
        elif isinstance(value, Mapping):
            yield from references_in(value.values())
        elif isinstance(value, list | tuple):
            yield from references_in(value)
