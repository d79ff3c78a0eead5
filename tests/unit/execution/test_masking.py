"""The masker: secrets in every spelling, in pieces, and over each other (DATA-12)."""

from __future__ import annotations

import base64
import html
import json
import random
import shlex
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aether_protocol.execution.context import sealed
from aether_protocol.execution.masking import MASK, Masker, StreamMask
from aether_protocol.expressions import parse_template
from aether_protocol.plan.model import OutputBinding, TaskDef
from aether_protocol.ports.wire import AttemptRef, TaskResult

pytestmark = pytest.mark.rule("DATA-12")

SPELLINGS: dict[str, Callable[[str], str]] = {
    "bare": str,
    "lower case": str.lower,
    "upper case": str.upper,
    "title": str.title,
    "json": lambda text: json.dumps(text)[1:-1],
    "json unicode": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "json in json": lambda text: json.dumps(json.dumps(text))[3:-3],
    "json in html": lambda text: json.dumps(text)[1:-1].replace("<", "\\u003C").replace(">", "\\u003E").replace("&", "\\u0026"),
    "repr": lambda text: repr(text)[1:-1],
    "repr with both quotes": lambda text: repr(f"it's \"{text}\"")[8:-2],
    "ascii": lambda text: ascii(text)[1:-1],
    "bytes": lambda text: repr(text.encode())[2:-1],
    "hex": lambda text: text.encode().hex(),
    "HEX": lambda text: text.encode().hex().upper(),
    "hex with colons": lambda text: text.encode().hex(":"),
    "base32": lambda text: base64.b32encode(text.encode()).decode().rstrip("="),
    "base64": lambda text: base64.b64encode(text.encode()).decode().rstrip("="),
    "base64 url": lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
    "percent": lambda text: quote(text, ""),
    "percent, lower case": lambda text: quote(text, "").lower(),
    "path": quote,
    "form": quote_plus,
    "every byte": lambda text: "".join(f"%{byte:02X}" for byte in text.encode()),
    "html": html.escape,
    "html numbers": lambda text: html.escape(text).replace("&#x27;", "&#39;").replace("&quot;", "&#34;"),
    "html, quotes bare": lambda text: html.escape(text, quote=False),
    "shell": shlex.quote,
}

ODD = st.text(st.sampled_from("aB7/+=%&\"'\\ \t<>-_.:äßЖ日😀\n"), min_size=6, max_size=40)
TOKENS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=6, max_size=80)


def masker(*texts: str) -> Masker:
    made = Masker()
    made.learn(texts)
    return made


@settings(max_examples=400)
@given(ODD | TOKENS, st.sampled_from(sorted(SPELLINGS)), st.sampled_from(["", "x", "key=", "{'a': '", "ü"]))
def test_a_secret_is_hidden_in_every_spelling(secret: str, spelling: str, before: str) -> None:
    if not secret.strip():
        return
    written = SPELLINGS[spelling](secret)
    shown = masker(secret).text(f"{before}{written}|")
    rest = shown.removeprefix(before).removesuffix("|").replace(MASK, "")
    # of groups of base32 and base64 the last character may stand for a few bits of the secret
    spare = 1 if spelling.startswith("base") else 2 if spelling == "shell" else 0
    assert len(rest) <= spare + len(written) - len(written.strip()), (written, shown)


@pytest.mark.parametrize("width", [64, 76])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_base64_is_hidden_wherever_it_is_wrapped(width: int, newline: str) -> None:
    secret = "s3cr3t-" + "k" * 20 + "-of/many+bytes"
    for before in range(80):
        whole = base64.b64encode(b"u" * before + secret.encode() + b"tail").decode()
        wrapped = newline.join(whole[start : start + width] for start in range(0, len(whole), width))
        for text in (masker(secret).text(wrapped), streamed(masker(secret), wrapped.splitlines(keepends=True))):
            left = text.replace(newline, "").replace(MASK, "")
            assert len(left) <= len(whole) - len(secret) * 4 // 3 + 3, (before, text)


def streamed(mask: Masker, pieces: list[str]) -> str:
    stream = StreamMask(mask)
    return "".join([*map(stream.feed, pieces), stream.flush()])


@settings(max_examples=300)
@given(st.lists(ODD, min_size=1, max_size=3), st.data())
def test_a_stream_hides_what_the_whole_text_hides(secrets: list[str], data: st.DataObject) -> None:
    mask = masker(*secrets)
    parts = st.sampled_from([*secrets, *(SPELLINGS["base64"](one) for one in secrets), "log line\n", "é", "\n"])
    text = "".join(data.draw(st.lists(parts, min_size=1, max_size=6)))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    shown = streamed(mask, pieces)
    for secret in secrets:
        assert secret.strip() == "" or secret.strip() not in shown or secret.strip() in MASK


def test_secrets_that_overlap_are_hidden_whole() -> None:
    mask = masker("abcdef", "defghi", "ghijkl")
    assert mask.text("-abcdefghijkl-") == "-***-"
    assert streamed(mask, list("-abcdefghijkl-")) == "-***-"


def test_a_long_secret_is_hidden_in_parts_too() -> None:
    """A certificate that is cut somewhere: what is shown of it is less than one piece."""
    dice = random.Random(3)
    secret = "".join(dice.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", k=20_000))
    mask = masker(secret)
    assert mask.text(f"<{secret}>") == "<***>"
    assert len(mask.text(secret[700:15_000])) < 2_100
    assert len(mask.text(base64.b64encode(secret.encode()).decode())) < 20


def test_each_line_of_a_secret_is_hidden_and_a_stream_waits_for_no_other_line() -> None:
    key = "-----BEGIN KEY-----\nMIIEpAIBAAKCAQEA7\nshort\nqPlWq0Yk\n-----END KEY-----\n"
    mask = masker(key)
    assert mask.text("saw MIIEpAIBAAKCAQEA7 and qPlWq0Yk") == "saw *** and ***"
    assert streamed(mask, key.splitlines(keepends=True)).replace(MASK, "").strip() == ""
    stream = StreamMask(mask)
    assert stream.feed("nothing of it\n") == "nothing of it\n"


def test_a_short_secret_is_hidden_as_it_is_written_alone() -> None:
    mask = masker("aB1")
    assert mask.text("aB1 ab1 AB1 xaB1x") == "*** ab1 AB1 x***x"
    assert mask.text(base64.b64encode(b"aB1").decode()) == "YUIx"


def test_half_a_character_breaks_nothing() -> None:
    assert masker("hunter2", "x\udc80yzzzz").text("\udcff hunter2 x\udc80yzzzz") == "\udcff *** ***"


def test_numbers_of_any_size_can_be_asked_about() -> None:
    mask = masker("8675309")
    for number in (10**5000, -(10**400), 1e308, float("inf"), float("nan")):
        assert mask.value([number]) == [number] or number != number
    assert mask.value(86753090) == MASK


def test_what_holds_no_secret_is_not_copied() -> None:
    value = {"a": [1, {"b": "text"}], "c": None}
    assert masker("hunter2").value(value) is value


def test_declared_names_stay_and_what_is_withheld_is_told() -> None:
    target = TaskDef("t", "x", parse_template(None, frozenset()), False, (OutputBinding("result", "any", ()),), (), None, None)
    ref = AttemptRef("r", "main.t", 1)
    given_ = TaskResult(ref, 2, "wrong: result", {"result": 5, "other": "a result", "result-2": 1, "fine": 1})
    made = sealed(masker("result"), target, given_)
    assert made.message == "wrong: ***"
    assert made.outputs == {"result": 5, "other": "a ***", "***-2": 1, "fine": 1}
    assert made.warnings == (
        "output 'other' holds a secret, which was withheld",
        "output '***-2' holds a secret, which was withheld",
    )
    assert sealed(masker("result"), target, TaskResult(AttemptRef("r", "main.t", 1), 0, "", {"fine": 1})).warnings == ()
