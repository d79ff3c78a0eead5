"""Secrets: filled in as an assignment is handed over, masked in everything that comes back (DATA-12).

Law: the text of a secret is in this module, in the assignment that goes to the executor, and nowhere else. What a task says
is masked before it becomes an event, so nothing that is stored or shown ever held one. Every secret that is not empty is
masked, however short it is; true, false and null are not masked, because no secret can be told from them.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, quote_plus

from aether_protocol.expressions.values import Json
from aether_protocol.ports.wire import TaskResult

MASK: Final = "***"
_LINE: Final = 8  # a line of a secret of several lines is masked on its own from this length on
_DIGITS: Final = 6  # a secret within a number is seen from this length on
_NEAR: Final = 16  # characters that are compared before all of them are
_BASE64: Final = 6  # bytes of a secret from which on it is masked in base64, too
_NUMBER: Final = re.compile(r"[-+]?[0-9]{1,300}(\.[0-9]{1,300})?([eE][-+]?[0-9]{1,3})?")


class Masker:
    """Hides the secrets that went out to one run."""

    def __init__(self) -> None:
        self._secrets: set[str] = set()
        self._numbers: set[float] = set()
        self.forms: tuple[str, ...] = ()
        self.first: re.Pattern[str] | None = None  # the characters that forms begin with
        self._pattern: re.Pattern[str] | None = None

    def learn(self, texts: Mapping[tuple[str, str], str]) -> None:
        new = {text for text in texts.values() if text} - self._secrets
        if new:
            self._secrets |= new
            forms = {form for text in self._secrets for form in _forms(text)}
            self.forms = tuple(sorted(forms, key=lambda form: (-len(form), form)))
            self._numbers |= {abs(float(text)) for text in new if _NUMBER.fullmatch(text.strip())}
            self._pattern = re.compile("|".join(map(re.escape, self.forms)))
            self.first = re.compile("|".join(sorted({re.escape(form[0]) for form in self.forms})))

    def text(self, text: str) -> str:
        return text if self._pattern is None else self._pattern.sub(MASK, text)

    def value(self, value: Json) -> Json:
        """A copy in which no string, key or number shows a secret."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(key): self.value(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.value(item) for item in value]
        if isinstance(value, int | float) and not isinstance(value, bool) and self._is_number(value):
            return MASK
        return value

    def _is_number(self, value: int | float) -> bool:
        """A number that a secret was read as, or whose digits hold one (which a short one does by chance too often)."""
        if abs(value) in self._numbers:
            return True
        texts = {str(value), str(int(value))} if value == value // 1 else {str(value)}
        return any(end - start >= min(_DIGITS, len(text)) for text in texts for start, end in self.spans(text))

    def spans(self, text: str) -> list[tuple[int, int]]:
        return [] if self._pattern is None else [match.span() for match in self._pattern.finditer(text)]

    def result(self, result: TaskResult) -> TaskResult:
        return TaskResult(
            result.run_id,
            result.node,
            result.attempt,
            result.code,
            self.text(result.message),
            self.value(result.parameters),
            self.value(result.artifacts),
            result.epoch,
            tuple(self.text(warning) for warning in result.warnings),
        )


def _forms(text: str) -> set[str]:
    """The spellings in which a secret comes back: bare, without its last newline, in JSON, in JSON in JSON, in a URL, in
    base64 wherever it stands there."""
    forms = {text, text.strip()}
    for spelling in tuple(forms):
        for ascii_only in (True, False):
            once = json.dumps(spelling, ensure_ascii=ascii_only)[1:-1]
            forms |= {once, json.dumps(once, ensure_ascii=ascii_only)[1:-1]}
        forms |= {quote(spelling, "", errors="replace"), quote(spelling, errors="replace")}
        forms.add(quote_plus(spelling, errors="replace"))
        forms |= _in_base64(spelling.encode(errors="replace"))
    forms |= {line.strip() for line in text.splitlines() if len(line.strip()) >= _LINE}
    forms.discard("")
    return forms


def _in_base64(data: bytes) -> set[str]:
    """What base64 makes of `data` after 0, 1 or 2 other bytes of its group of 3: the characters that are its own."""
    forms: set[str] = set()
    if len(data) >= _BASE64:
        for before in range(3):
            bits = slice((before * 8 + 5) // 6, (before + len(data)) * 8 // 6)
            forms.add(b64encode(bytes(before) + data).decode()[bits])
            forms.add(urlsafe_b64encode(bytes(before) + data).decode()[bits])
    return forms


class LogMask:
    """Masks one stream of an attempt's log, also where a secret comes in pieces: text that may be its beginning waits."""

    def __init__(self, masker: Masker) -> None:
        self._masker = masker
        self._held = ""

    def feed(self, text: str) -> str:
        """What may be shown now."""
        text = self._held + text
        hold = self._beginning(text)
        spans = self._masker.spans(text)
        for start, end in spans:
            if start < hold < end:
                hold = end
        self._held = text[hold:]
        return self._masker.text(text[:hold])

    def flush(self) -> str:
        held, self._held = self._held, ""
        return self._masker.text(held)

    def _beginning(self, text: str) -> int:
        """The first place from which on `text` may be the beginning of a secret that is longer."""
        if self._masker.first is None:
            return len(text)
        forms = self._masker.forms
        for match in self._masker.first.finditer(text, max(0, len(text) - len(forms[0]) + 1)):
            place = match.start()
            left = len(text) - place
            near = text[place : place + _NEAR]
            if any(len(form) > left and form.startswith(near) and form.startswith(text[place:]) for form in forms):
                return place
        return len(text)
