"""The lexer: turns an expression into Python source that holds nothing but stand-ins, operators and known functions.

Law: the Python parser never sees a word, string or number of the author's. Every operand becomes a stand-in `_N` (kept
in `leaves`), every word that is not an operator or a called function is a name, and everything else is refused here,
at its own position. So keywords can be segments, hyphens belong to names, and no Python feature can be reached.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import Final

from msgspec import Struct, field

from aether_protocol.diagnostics.suggest import suggest
from aether_protocol.expressions import limits
from aether_protocol.expressions.functions import TABLE
from aether_protocol.expressions.names import ExpressionError, Name, build_name, name_re, segment_re
from aether_protocol.expressions.placeholders import SplitText, placeholder_re, split_text
from aether_protocol.expressions.values import Constant, Json

Leaf = Constant | Name | SplitText

_LITERALS: Final[dict[str, Json]] = {
    "true": True, "True": True, "false": False, "False": False, "null": None, "None": None,
}  # fmt: skip
_SPACE = re.compile(r"\s+")
_WORD = re.compile(r"[^\W\d]")
_NUMBER = re.compile(r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?(?![\w.])", re.ASCII)
_STRING = re.compile(r'"(?:[^"\\\n]|\\[^\n])*"|' + r"'(?:[^'\\\n]|\\[^\n])*'")
_OPERATOR = re.compile(r"==|!=|<=|>=|&&|\|\||//|\*\*|[-+*/%<>!(){}\[\],:]")
_ESCAPE = r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.))"
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "/": "/", "\\": "\\", '"': '"', "'": "'"}
_PAIR = "[\ud800-\udbff][\udc00-\udfff]"

_SPELLED: Final = {"&&": "and", "||": "or", "!": "not"}
_PREFIX: Final = frozenset({"-", "+", "not"})
_WORDS: Final = frozenset({"and", "or", "not", "in", "if", "else"})
_BINARY: Final = frozenset(["==", "!=", "<", "<=", ">", ">=", "in", "+", "-", "*", "/", "//", "%", "**"])
_CLOSES: Final = {"(": ")", "[": "]", "{": "}"}
_HINTS: Final = {"=": ": equality is written ==", "&": ": and is written && or and", "|": ": or is written || or or"}


class Lexer(Struct):
    """Reads one text. After `run`, `source` is what `ast.parse` gets; `original` leads back from its columns."""

    text: str
    namespaces: frozenset[str]  # roots of the placeholders that are filled in inside of quoted text
    leaves: list[Leaf] = field(default_factory=list)
    names: dict[Name, int] = field(default_factory=dict)  # each name and the offset where it stands first
    pieces: list[str] = field(default_factory=list)
    columns: list[int] = field(default_factory=list)  # where each piece starts in the source
    offsets: list[int] = field(default_factory=list)  # and in the text
    column: int = 0
    operand: bool = True  # an operand is expected next
    prefixes: int = 0  # prefix operators in a row
    open: list[tuple[str, int]] = field(default_factory=list)

    @property
    def source(self) -> str:
        """The stand-in source, one line of ASCII."""
        return "".join(self.pieces)

    def original(self, column: int) -> int:
        """The offset in the text of what stands at `column` of the source."""
        if column >= self.column:
            return len(self.text)
        return self.offsets[max(bisect_right(self.columns, column) - 1, 0)]

    def run(self) -> Lexer:
        """Read the whole text. Raises ExpressionError."""
        if len(self.text) > limits.MAX_CHARACTERS:
            raise ExpressionError(
                f"the expression is too long ({len(self.text)} characters, at most {limits.MAX_CHARACTERS})", 0
            )
        position = 0
        while position < len(self.text):
            space = _SPACE.match(self.text, position)
            position = space.end() if space else self._token(position)
            if len(self.pieces) > limits.MAX_NODES * 5:
                raise ExpressionError(f"the expression has too many parts (at most {limits.MAX_NODES})", position)
        if not self.pieces:
            raise ExpressionError("the expression is empty", 0)
        if self.open:
            bracket, offset = self.open[-1]
            raise ExpressionError(f"{bracket!r} is never closed", offset)
        if self.operand:
            raise ExpressionError("the expression ends too early", len(self.text.rstrip()))
        return self

    def _token(self, at: int) -> int:
        """Read the token at `at`; gives where the next one starts."""
        text, char = self.text, self.text[at]
        if text.startswith("{{", at):
            return self._placeholder(at)
        if char in "\"'":
            return self._string(at)
        if char.isdigit() or (char == "." and text[at + 1 : at + 2].isdigit() and self.operand):
            return self._number(at)
        if _WORD.match(text, at):
            return self._word(at)
        if char == "." and not self.operand and self.pieces[-1].strip() in (")", "]", "}"):
            return self._field(at)
        if match := _OPERATOR.match(text, at):
            self._operator(match.group(), at)
            return match.end()
        raise ExpressionError(f"unexpected {char!r}{_HINTS.get(char, '')}", at)

    # --- operands ----------------------------------------------------------------------------------------------

    def _leaf(self, leaf: Leaf, at: int, end: int) -> int:
        self._expect_operand(at, end)
        self.leaves.append(leaf)
        self._emit(f"_{len(self.leaves) - 1}", at)
        self.operand, self.prefixes = False, 0
        return end

    def _name(self, text: str, at: int, end: int) -> int:
        name = build_name(text)
        self._leaf(name, at, end)
        self.names.setdefault(name, at)
        if self.text.startswith(".", end):
            raise ExpressionError(f"{text + '.'!r} is not a name: a field is missing after the dot", end)
        return end

    def _placeholder(self, at: int) -> int:
        match = placeholder_re().match(self.text, at)
        if match is None:
            raise ExpressionError("malformed placeholder: a name between {{ and }} is expected", at)
        return self._name(match.group(1), at, match.end())

    def _string(self, at: int) -> int:
        match = _STRING.match(self.text, at)
        if match is None:
            raise ExpressionError("the string is never closed", at)
        value = _unescape(match.group()[1:-1], at)
        if "{{" not in value:
            return self._leaf(Constant(value), at, match.end())
        try:
            parts = split_text(value, self.namespaces)
        except ExpressionError as fault:
            raise ExpressionError(fault.reason, at + 1 + (fault.offset or 0)) from None
        if not any(isinstance(part, Name) for part in parts.parts):
            return self._leaf(Constant("".join(map(str, parts.parts))), at, match.end())
        self._leaf(parts, at, match.end())
        for part in parts.parts:
            if isinstance(part, Name):
                self.names.setdefault(part, at)
        return match.end()

    def _number(self, at: int) -> int:
        match = _NUMBER.match(self.text, at)
        digits = match.group() if match else ""
        if match is None or (digits.isdigit() and len(digits) > 1 and digits[0] == "0"):
            word = re.compile(r"[\w.]+").match(self.text, at)
            raise ExpressionError(f"{(word.group() if word else '')[:60]!r} is not a number", at)
        if digits.isdigit():
            if len(digits) > limits.MAX_DIGITS:
                raise ExpressionError(f"the number is too large ({len(digits)} digits)", at)
            return self._leaf(Constant(int(digits)), at, match.end())
        number = float(digits)
        if number == float("inf"):
            raise ExpressionError("the number is too large", at)
        return self._leaf(Constant(number), at, match.end())

    def _word(self, at: int) -> int:
        match = name_re().match(self.text, at)
        assert match is not None
        text, end = match.group(), match.end()
        head = segment_re().match(text)
        word = head.group() if head else text
        following = _SPACE.match(self.text, end)
        called = self.text.startswith("(", following.end() if following else end)
        # An operator word ends where the word does: `x in[1]` does not hold a name `in[1]`.
        if word in _WORDS and (word == text or text[len(word)] == "["):
            self._operator(word, at)
            return at + len(word)
        if word in _LITERALS and (word == text or text[len(word)] == "["):
            return self._leaf(Constant(_LITERALS[word]), at, at + len(word))
        if called:
            return self._function(text, at, end)
        return self._name(text, at, end)

    def _function(self, text: str, at: int, end: int) -> int:
        if text not in TABLE:
            if "." in text or "[" in text:
                raise ExpressionError(f"{text[:60]!r} cannot be called: only functions can", at)
            near = suggest(text[:60].lower(), TABLE)
            hint = f"did you mean {near}()?" if near else f"the functions are {', '.join(TABLE)}"
            raise ExpressionError(f"unknown function {text[:60]!r}", at, hint=hint)
        self._expect_operand(at, end)
        self._emit(text, at)
        # The bracket that follows opens the arguments: it is neither a group nor a call of a value.
        bracket = self.text.index("(", end)
        self.operand = True
        self._operator("(", bracket)
        return bracket + 1

    def _field(self, at: int) -> int:
        """`.FIELD` after a bracket: the subscript of that key."""
        match = segment_re().match(self.text, at + 1)
        if match is None:
            raise ExpressionError("a field is missing after the dot", at)
        self.leaves.append(Constant(match.group()))
        self._emit(f"[_{len(self.leaves) - 1}]", at)
        # What was emitted ends like any subscript, so that a further field may follow.
        self.pieces[-1:] = [self.pieces[-1][:-1], "]"]
        self.columns.append(self.column - 1)
        self.offsets.append(at)
        return match.end()

    # --- operators and brackets --------------------------------------------------------------------------------

    def _expect_operand(self, at: int, end: int) -> None:
        if not self.operand:
            raise ExpressionError(f"unexpected {self.text[at:end][:60]!r}: an operator is missing before it", at)

    def _operator(self, spelled: str, at: int) -> None:
        token = _SPELLED.get(spelled, spelled)
        if token in _CLOSES:
            self._open(token, at)
        elif token in (")", "]", "}"):
            self._close(token, at)
        else:
            self._between(token, spelled, at)

    def _between(self, token: str, spelled: str, at: int) -> None:
        prefix = self.operand and token in _PREFIX
        after_not = token == "in" and self.pieces and self.pieces[-1].strip() == "not" and self.prefixes == 0
        if self.operand and not prefix and not after_not:
            raise ExpressionError(f"unexpected {spelled!r}: a value is missing before it", at)
        if token == "not" and prefix and self.pieces and self.pieces[-1].strip() in _BINARY:
            raise ExpressionError(f"unexpected {spelled!r}: it needs brackets here, as in (not x)", at)
        self.prefixes = self.prefixes + 1 if prefix else 0
        if self.prefixes + len(self.open) > limits.MAX_DEPTH:
            raise ExpressionError(f"the expression is nested too deeply (at most {limits.MAX_DEPTH})", at)
        self._emit(f" {token} " if self.pieces else f"{token} ", at)
        self.operand = True

    def _open(self, token: str, at: int) -> None:
        if not self.operand and token != "[":
            what = "only functions can be called" if token == "(" else "an operator is missing before it"
            raise ExpressionError(f"unexpected {token!r}: {what}", at)
        self.open.append((token, at))
        if len(self.open) > limits.MAX_DEPTH:
            raise ExpressionError(f"the expression is nested too deeply (at most {limits.MAX_DEPTH})", at)
        self._emit(token, at)
        self.operand, self.prefixes = True, 0

    def _close(self, token: str, at: int) -> None:
        if not self.open or _CLOSES[self.open[-1][0]] != token:
            raise ExpressionError(f"unexpected {token!r}: it closes nothing", at)
        self.open.pop()
        if self.operand and self.pieces[-1].strip() not in ("(", "[", "{", ","):
            raise ExpressionError(f"unexpected {token!r}: a value is missing before it", at)
        self._emit(token, at)
        self.operand = False

    def _emit(self, piece: str, at: int) -> None:
        self.pieces.append(piece)
        self.columns.append(self.column + len(piece) - len(piece.lstrip()))
        self.offsets.append(at)
        self.column += len(piece)


def _unescape(body: str, at: int) -> str:
    """The text of a string literal: JSON's escapes, `\\xNN` and `\\'`; an unknown escape stays as it is."""

    def one(match: re.Match[str]) -> str:
        code = match.group(1) or match.group(2)
        if code:
            return chr(int(code, 16))
        return _ESCAPES.get(match.group(3), match.group())

    if "\\" not in body:
        return body
    value = re.sub(_ESCAPE, one, body)
    value = re.sub(_PAIR, lambda pair: pair.group().encode("utf-16", "surrogatepass").decode("utf-16"), value)
    if any("\ud800" <= char <= "\udfff" for char in value):
        raise ExpressionError("half of a surrogate pair is not a character", at)
    return value
