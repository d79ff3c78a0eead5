"""Masking: hides secrets in raw text, before anything cuts, quotes or parses it for people (DATA-12).

Law: text is searched once, for all secrets in all their spellings, by one automaton over a folded copy (lower case, no line
breaks), so that a case or a wrapped line hides nothing; of matches that overlap all is hidden. A secret of fewer than LONG
bytes is found as it is written alone, since its derived forms occur by chance. True, false and null are not masked: they
identify no secret.
"""

from __future__ import annotations

import json
import re
import shlex
from base64 import b32encode, b64encode, urlsafe_b64encode
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import Final
from urllib.parse import quote, quote_plus

from aether_protocol.expressions.values import Json

MASK: Final = "***"
LONG: Final = 6  # bytes of a secret from which on it is found in derived forms and in any case, too
_LINE: Final = 8  # a line of a secret of several lines is masked on its own from this length on
_PIECE: Final = 1_024  # characters; a longer secret is found piece by piece, which bounds what a stream holds back
_OVERLAP: Final = 8  # characters that pieces share, so that no group of base32 or base64 lies in neither
_DIGITS: Final = 6  # a secret within a number is seen from this length on
_KEY: Final = 5  # characters of a form that the automaton looks for: so it stays small, whatever is secret
_NUMBER: Final = r"[-+]?[0-9]{1,300}(\.[0-9]{1,300})?([eE][-+]?[0-9]{1,3})?"
_CASES: Final = (str, str.upper, str.lower, str.casefold, str.title)
_LOWER: Final = bytes(range(128)).lower() + bytes(range(128, 256))
_ENCODED: Final = r"[A-Za-z0-9+/=_-]{40,}[\r\n]*\Z"  # a line that may be the first of a wrapped encoding
_SAFE: Final = ("", "/", "!*'()", "!*'();/?:@&=+$,#")  # what writers of URLs leave as it is


class Masker:
    """Hides the secrets that went out to one run. May be used from any thread."""

    def __init__(self) -> None:
        self._secrets: frozenset[str] = frozenset()
        self._numbers: frozenset[float] = frozenset()
        self.forms: Forms | None = None

    def learn(self, texts: Iterable[str]) -> None:
        """Hide these, too."""
        new = {text for text in texts if text} - self._secrets
        if new:
            self._numbers |= {abs(float(text)) for text in new if re.fullmatch(_NUMBER, text.strip())}
            self._secrets |= new
            self.forms = Forms(self._secrets)

    def text(self, text: str) -> str:
        """`text` with MASK in place of each secret."""
        return _cover(text, self.spans(text))

    def value(self, value: Json) -> Json:
        """`value`, or a copy of it in which no string, key or number shows a secret."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            masked = {self.text(key): self.value(item) for key, item in value.items()}
            same = len(masked) == len(value) and all(masked.get(key, masked) is item for key, item in value.items())
            return value if same else masked
        if isinstance(value, list | tuple):
            items = [self.value(item) for item in value]
            return value if all(item is old for item, old in zip(items, value, strict=True)) else items
        if isinstance(value, int | float) and not isinstance(value, bool) and self._is_number(value):
            return MASK
        return value

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where secrets stand in `text`: (start, end) in order, none touching the next but by its end."""
        return [] if self.forms is None else self.forms.spans(text)

    def _is_number(self, value: int | float) -> bool:
        """Tell whether a secret was read as this number, or stands in its digits (which a short one does by chance)."""
        if abs(value) in self._numbers:
            return True
        try:
            texts = {str(value), str(int(value))} if value == value // 1 else {str(value)}
        except (ValueError, OverflowError):  # more digits than Python writes, or no number: no text shows it either
            return False
        return any(end - start >= min(_DIGITS, len(text)) for text in texts for start, end in self.spans(text))


class Forms:
    """All spellings of some secrets, folded, and the automaton that finds them. Never changes."""

    def __init__(self, secrets: Iterable[str]) -> None:
        exact: dict[str, set[str]] = {}  # folded spelling -> as it must be written; empty: however it is written
        crossing: set[str] = set()  # spellings with line breaks, in lower case
        for secret in secrets:
            short = len(secret.encode("utf-8", "replace")) < LONG
            for form in _plain_forms(secret) if short else _forms(secret):
                folded = _flat(_lower(form))
                if not folded:
                    continue
                if not short:
                    exact[folded] = set()
                elif exact.get(folded) != set():
                    exact.setdefault(folded, set()).add(form)
                if len(folded) < len(form):
                    crossing.add(_lower(form))
        self._sorted = sorted(exact)
        self._longest_first = [
            [(form, exact[form]) for form in sorted(forms, key=len, reverse=True)]
            for _, forms in groupby(self._sorted, key=lambda form: form[:_KEY])
        ]
        self._crossing = sorted(crossing)
        self._starts, self._crossing_starts = _starts(self._sorted), _starts(self._crossing)
        self._find = _automaton(tuple(forms[0][0][:_KEY] for forms in self._longest_first))
        self.longest = max(map(len, [*self._sorted, *self._crossing]), default=0)

    def spans(self, text: str) -> list[tuple[int, int]]:
        """See `Masker.spans`."""
        data = _folded(text)
        found = self._find(data)
        if not found:
            return []
        flat = data.decode("utf-8", "surrogatepass")
        places: Sequence[int] | None = range(len(text)) if len(flat) == len(text) else None
        spans: list[tuple[int, int]] = []
        for key, byte, _ in sorted(found, key=itemgetter(1)):
            first = byte if len(data) == len(flat) else len(data[:byte].decode("utf-8", "surrogatepass"))
            for form, written in self._longest_first[key]:
                if not flat.startswith(form, first):
                    continue
                if places is None:  # rarely: most keys that are found begin no secret
                    places = [place for place, one in enumerate(text) if one not in "\r\n"]
                start, end = places[first], places[first + len(form) - 1] + 1
                if written and text[start:end] not in written:
                    continue
                if spans and start < spans[-1][1]:
                    spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
                else:
                    spans.append((start, end))
                break
        return spans

    def beginning(self, text: str) -> int:
        """The first place from which on `text` may be the beginning of a secret that continues; its length where there is none.

        After a line break nothing that stands in one line continues, but for an encoding that is wrapped.
        """
        lower = _lower(text[-2 * self.longest :])
        found = len(lower)
        ended = lower.endswith(("\n", "\r"))
        if ended and self._crossing:
            found = self._first(lower, self._crossing, self._crossing_starts)
        if not ended or re.search(_ENCODED, lower):
            flat = _flat(lower)
            start = self._first(flat, self._sorted, self._starts)
            if start < len(flat):
                found = min(found, start if flat is lower else [i for i, one in enumerate(lower) if one not in "\r\n"][start])
        return len(text) - len(lower) + found

    def _first(self, text: str, forms: list[str], starts: set[str]) -> int:
        """The first place of `text` that may begin one of `forms` and go on after its end; its length where there is none."""
        for start in range(max(0, len(text) - self.longest), len(text)):
            if text[start : start + 3] in starts and _goes_on(forms, text[start:]):
                return start
        return len(text)


class StreamMask:
    """Masks one stream of text, also where a secret comes in pieces: text that may be its beginning waits, and no other."""

    def __init__(self, masker: Masker) -> None:
        self._masker = masker
        self._held = ""
        self._covered = 0  # characters of `_held` that belong to a secret whose mask was shown already

    def feed(self, text: str) -> str:
        """Take the next piece; gives what may be shown now."""
        text = self._held + text
        forms = self._masker.forms
        return self._show(text, len(text) if forms is None else forms.beginning(text))

    def flush(self) -> str:
        """Give what was held back: nothing follows."""
        return self._show(self._held, len(self._held))

    def _show(self, text: str, hold: int) -> str:
        hold = max(hold, 0)
        spans = _joined(self._covered, self._masker.spans(text))
        shown = _cover(text[:hold], [(start, min(end, hold)) for start, end in spans if start < hold])
        if self._covered and hold:
            shown = shown.removeprefix(MASK)  # it was shown with the piece before
        crossing = [end for start, end in spans if start < hold < end]
        if hold:
            self._covered = crossing[0] - hold if crossing else 0
        self._held = text[hold:]
        return shown


def _joined(covered: int, spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """`spans`, with the first `covered` characters as part of the first."""
    if not covered:
        return spans
    end = covered
    rest = 0
    while rest < len(spans) and spans[rest][0] < end:
        end = max(end, spans[rest][1])
        rest += 1
    return [(0, end), *spans[rest:]]


def _cover(text: str, spans: list[tuple[int, int]]) -> str:
    if not spans:
        return text
    parts: list[str] = []
    place = 0
    for start, end in spans:
        parts += (text[place:start], MASK)
        place = end
    return "".join([*parts, text[place:]])


def _starts(forms: Iterable[str]) -> set[str]:
    return {form[:size] for form in forms for size in (1, 2, 3)}


def _goes_on(forms: list[str], text: str) -> bool:
    """Tell whether `text` is the beginning of a longer one of the sorted `forms`."""
    place = bisect_left(forms, text)
    while place < len(forms) and forms[place] == text:
        place += 1
    return place < len(forms) and forms[place].startswith(text)


@lru_cache(maxsize=32)
def _automaton(keys: tuple[str, ...]) -> Callable[[bytes], list[tuple[int, int, int]]]:
    """A function that finds all `keys` in UTF-8: [(number of the key, start, end)], overlapping ones too."""
    from ahocorasick_rs import BytesAhoCorasick, Implementation

    automaton = BytesAhoCorasick([key.encode("utf-8", "surrogatepass") for key in keys], implementation=Implementation.DFA)

    def find(data: bytes) -> list[tuple[int, int, int]]:
        found: list[tuple[int, int, int]] = automaton.find_matches_as_indexes(data, overlapping=True)
        return found

    return find


def _folded(text: str) -> bytes:
    """`text` in lower case and without line breaks, as UTF-8."""
    if text.isascii():
        return text.encode("ascii").translate(_LOWER, b"\r\n")
    return _flat(_lower(text)).encode("utf-8", "surrogatepass")


def _lower(text: str) -> str:
    """`text` in lower case, character by character: positions stay, and no character depends on its neighbours."""
    lower = text.lower()
    if text.isascii() or (len(lower) == len(text) and "\u03a3" not in text):
        return lower
    return "".join([low if len(low := one.lower()) == 1 else one for one in text])


def _flat(text: str) -> str:
    """`text` without line breaks."""
    return text.replace("\n", "").replace("\r", "") if "\n" in text or "\r" in text else text


def _forms(text: str) -> set[str]:
    """The spellings in which a secret comes back: bare, without its last line break, escaped and encoded."""
    forms: set[str] = set()
    for piece in _pieces(text):
        for spelling in {piece, piece.strip()}:
            for cased in {case(spelling) for case in _CASES}:  # some letters become two
                forms |= _plain_forms(cased) if cased == spelling or not spelling.isascii() else set()
            forms |= _encoded(spelling.encode("utf-8", "replace"))
    lines = [line.strip() for line in text.splitlines()]
    forms |= {line for line in lines if len(line) >= _LINE} if len(lines) > 1 else set()
    return forms


def _pieces(text: str) -> list[str]:
    if len(text) <= _PIECE:
        return [text]
    last = len(text) - _PIECE
    return [text[start : start + _PIECE] for start in [*range(0, last, _PIECE - _OVERLAP), last]]


def _plain_forms(text: str) -> set[str]:
    """Bare, and as programs quote and escape it: JSON (twice, too, and as JavaScript embeds it in HTML), `repr`, URLs, HTML,
    XML, a shell."""
    forms: set[str] = set()
    for spelling in {text, text.strip()}:
        forms.add(spelling)
        for ascii_only in (True, False):
            once = json.dumps(spelling, ensure_ascii=ascii_only)[1:-1]
            forms |= {once, json.dumps(once, ensure_ascii=ascii_only)[1:-1], once.replace("/", "\\/")}
            forms.add(once.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))
        forms |= _python_forms(repr, spelling) | _python_forms(ascii, spelling)
        data = spelling.encode("utf-8", "replace")
        forms |= _python_forms(lambda text: repr(text.encode("utf-8", "replace"))[1:], spelling)
        forms |= {"".join(f"%{byte:02x}" for byte in data), quote_plus(spelling, errors="replace")}
        forms |= {quote(spelling, safe, errors="replace") for safe in _SAFE}
        escaped = spelling.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        for double in ('"', "&quot;", "&#34;", "&#x22;"):
            for single in ("'", "&#x27;", "&#39;", "&apos;"):
                forms.add(escaped.replace('"', double).replace("'", single))
        forms |= {shlex.quote(spelling), spelling.replace("'", "'\\''"), spelling.replace("'", "'\"'\"'")}
    forms.discard("")
    return forms


def _python_forms(write: Callable[[str], str], text: str) -> set[str]:
    """`text` inside of what `repr` or `ascii` writes, which escapes a single quote only where double ones are there, too."""
    escaped = write(text + "'\"")[1:-4]
    return {escaped, escaped.replace("\\'", "'")}


def _encoded(data: bytes) -> set[str]:
    """In hexadecimal digits, and what base32 and base64 make of `data` wherever it stands in their groups of bytes: the
    characters that are its own."""
    forms = {data.hex(), data.hex(" "), data.hex(":")}
    for encode, bits, group in ((b64encode, 6, 3), (urlsafe_b64encode, 6, 3), (b32encode, 5, 5)):
        for before in range(group):
            own = slice((before * 8 + bits - 1) // bits, (before + len(data)) * 8 // bits)
            forms.add(encode(bytes(before) + data).decode()[own])
    return forms
