"""Secrets: their texts, filled into an attempt where it is carried out, and known there for masking (DATA-12).

Law: the text of a secret is here, in the attempt that runs and in the masker of its run, and nowhere else. An assignment names
the secrets that its run has used so far; what waits in a queue holds references alone.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final
from weakref import WeakValueDictionary

from msgspec.structs import replace

from aether_protocol.errors import PortError
from aether_protocol.execution.masking import Masker
from aether_protocol.expressions.values import Json, SecretValue
from aether_protocol.ports.secrets import SecretProvider
from aether_protocol.ports.wire import TaskAssignment

RECENT: Final = 256  # runs whose maskers are kept ready between their attempts

Reference = tuple[str, str]  # name, key


class MissingSecretError(Exception):
    """No provider has it. The text names name and key."""


class RunSecrets:
    """What is known of the secrets of one run. `masker` is None as long as none went out."""

    __slots__ = ("__weakref__", "known", "masker")

    def __init__(self) -> None:
        self.masker: Masker | None = None
        self.known: set[Reference] = set()


class SecretBook:
    """The providers, asked in order anew for every attempt, and what they gave to each run."""

    def __init__(self, providers: Sequence[SecretProvider]) -> None:
        self.providers = tuple(providers)
        self._runs: WeakValueDictionary[str, RunSecrets] = WeakValueDictionary()
        self._recent: deque[RunSecrets] = deque(maxlen=RECENT)  # attempts hold theirs, too

    def of(self, run_id: str) -> RunSecrets:
        """The secrets of this run."""
        run = self._runs.get(run_id)
        if run is None:
            run = self._runs[run_id] = RunSecrets()
            self._recent.append(run)
        return run

    def recall(self, run_id: str, used: Iterable[Reference]) -> RunSecrets:
        """The secrets of this run, with those that it has `used` so far, as far as they can still be had."""
        run = self.of(run_id)
        missing = [reference for reference in used if reference not in run.known]
        if missing:
            texts: dict[Reference, str] = {}
            for reference in missing:
                with contextlib.suppress(MissingSecretError):
                    self._text(reference, texts)
            _learn(run, texts)
        return run

    def fill(self, assignment: TaskAssignment) -> TaskAssignment:
        """The assignment with the texts in it; its run knows them from now on, and all that it names as used.

        Raises MissingSecretError.
        """
        if assignment.secret:
            assignment = self._filled(assignment)
        if assignment.secrets:
            self.recall(assignment.run_id, assignment.secrets)
        return assignment

    def _filled(self, assignment: TaskAssignment) -> TaskAssignment:
        texts: dict[Reference, str] = {}
        filled = replace(
            assignment,
            config=self._fill(assignment.config, texts),
            inputs=self._fill(assignment.inputs, texts),
            artifacts=self._fill(assignment.artifacts, texts),
            payloads=self._fill(list(assignment.payloads), texts),
        )
        _learn(self.of(assignment.run_id), texts)
        return filled

    def _fill(self, value: Json, texts: dict[Reference, str]) -> Json:
        if isinstance(value, SecretValue):
            return "".join([part if isinstance(part, str) else self._text(part, texts) for part in value.parts])
        if isinstance(value, Mapping):
            return {key: self._fill(item, texts) for key, item in value.items()}
        if isinstance(value, list):
            return [self._fill(item, texts) for item in value]
        return value

    def _text(self, reference: Reference, texts: dict[Reference, str]) -> str:
        if reference not in texts:
            name, key = reference
            for provider in self.providers:
                text = self._ask(provider, name, key)
                if text is not None:
                    texts[reference] = text
                    break
            else:
                raise MissingSecretError(f"secret {name!r} has no key {key!r} in any of the secret providers")
        return texts[reference]

    def _ask(self, provider: SecretProvider, name: str, key: str) -> str | None:
        try:
            text = provider.get(name, key)
        except PortError as error:
            raise MissingSecretError(f"secret {name!r}, key {key!r}, cannot be read: {error.message}") from error
        except Exception as error:  # foreign code, and its text may hold what nobody may see
            raise MissingSecretError(f"secret {name!r}, key {key!r}, cannot be read: {type(error).__name__}") from error
        if text is not None and not isinstance(text, str):
            raise MissingSecretError(f"secret {name!r}, key {key!r}, is a {type(text).__name__}, not text")
        return text


def _learn(run: RunSecrets, texts: Mapping[Reference, str]) -> None:
    if texts:
        run.masker = run.masker or Masker()
        run.masker.learn(texts.values())
        run.known.update(texts)


def references_in(values: Iterable[Json]) -> Iterator[Reference]:
    """The (name, key) of all secrets that stand in these values."""
    for value in values:
        if isinstance(value, SecretValue):
            yield from (part for part in value.parts if not isinstance(part, str))
        elif isinstance(value, Mapping):
            yield from references_in(value.values())
        elif isinstance(value, list | tuple):
            yield from references_in(value)
