"""Secrets: their texts, filled into an attempt where it is carried out (DATA-12).

Law: the text of a secret is here, in the attempt that runs and in its masker, and nowhere else.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from aether_protocol.errors import PortError
from aether_protocol.expressions.values import Json, SecretValue
from aether_protocol.ports.secrets import SecretProvider
from aether_protocol.ports.wire import TaskAssignment


class MissingSecretError(Exception):
    """No provider has it. The text names name and key."""


class SecretBook:
    """The providers, asked in order at every hand-over."""

    def __init__(self, providers: Sequence[SecretProvider]) -> None:
        self._providers = tuple(providers)

    def fill(self, assignment: TaskAssignment) -> tuple[TaskAssignment, dict[tuple[str, str], str]]:
        """The assignment with the texts in it, and the texts used. Raises MissingSecretError or PortError."""
        texts: dict[tuple[str, str], str] = {}
        filled = replace(
            assignment,
            config=self._fill(assignment.config, texts),
            inputs=self._fill(assignment.inputs, texts),
            artifacts=self._fill(assignment.artifacts, texts),
            payloads=self._fill(list(assignment.payloads), texts),
        )
        filled.secrets = tuple(texts)
        return filled, texts

    def known(self, references: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
        """The texts of these, as far as they can be had now."""
        texts: dict[tuple[str, str], str] = {}
        for reference in references:
            with contextlib.suppress(MissingSecretError):
                self._text(reference, texts)
        return texts

    def _fill(self, value: Json, texts: dict[tuple[str, str], str]) -> Json:
        if isinstance(value, SecretValue):
            return "".join([part if isinstance(part, str) else self._text(part, texts) for part in value.parts])
        if isinstance(value, Mapping):
            return {key: self._fill(item, texts) for key, item in value.items()}
        if isinstance(value, list):
            return [self._fill(item, texts) for item in value]
        return value

    def _text(self, reference: tuple[str, str], texts: dict[tuple[str, str], str]) -> str:
        if reference not in texts:
            name, key = reference
            for provider in self._providers:
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
