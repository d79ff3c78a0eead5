"""TOML with positions: what is read is what tomllib reads, and every key is found where it stands."""

from __future__ import annotations

import contextlib
import re
import time
import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aether_protocol.assembly.configuration.toml_text import MAX_BYTES, NotTomlError, Path, TomlText, read_toml

NASTY = '''\
# a comment with "quotes" and = signs [and.brackets]
title = "a # b \\" = c"
"quoted.key" . 'other' = 1   # not a.b
[ a . "b c" ]
one = """
[not.a.table]
x = "inner" ""quotes"" \\"""
"""
two = \'\'\'
[nor = this] \'\' \'\'\'
three = """four quotes at the end"""""
dates = [1979-05-27 07:32:00Z, 1979-05-27, # a comment ] in a list
  07:32:00 ]
inline = { x = 1, y.z = [ { deep = "}" }, { deep = \'\'\']}\'\'\' } ], "" = {} }
[[list]]
n = 1
[[list]]
n = 2
[list.under]
n = 3
[[list.of]]
n = 4
[a.late]
n = 5
[x.y.z]
[x]
n = 6
'''


def paths(value: Any, at: Path = ()) -> list[Path]:
    if isinstance(value, dict):
        return [p for k, v in value.items() for p in ((*at, k), *paths(v, (*at, k)))]
    if isinstance(value, list):
        return [p for i, v in enumerate(value) for p in ((*at, i), *paths(v, (*at, i)))]
    return []


def at(text: str, place: tuple[int, int]) -> str:
    return text.split("\n")[place[0] - 1][place[1] - 1 :]


def check(text: str, read: TomlText) -> None:
    """Every path has a place, and there stands its key."""
    assert read.value == tomllib.loads(text)
    found = paths(read.value)
    assert [path for path in found if path not in read.keys or path not in read.values] == []
    for path in found:
        if isinstance(path[-1], str):
            key = re.match(r"""[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*'""", at(text, read.keys[path]))
            assert key is not None
            assert tomllib.loads(f"{key[0]} = 1") == {path[-1]: 1}


def test_positions_of_a_nasty_text() -> None:
    read = read_toml(NASTY.encode())
    check(NASTY, read)
    assert read.keys[("title",)] == (2, 1)
    assert read.values[("title",)] == (2, 9)
    assert at(NASTY, read.keys[("a", "b c", "inline", "y", "z", 1, "deep")]).startswith("deep = '''")
    assert [read.keys[("list", n, "n")][0] for n in (0, 1)] == [16, 18]
    assert read.keys[("list", 1, "under", "n")] == (20, 1)
    assert read.keys[("list", 1, "of", 0, "n")] == (22, 1)
    assert read.keys[("x",)] == (25, 2)


KEYS = st.one_of(st.sampled_from(["a", "b-c", "D_1", "42"]), st.text("ab.\"'\\= #[]{}\té✓", max_size=4))
LEAVES = st.one_of(st.integers(-9, 9), st.booleans(), st.text("ab\"'\\\n#[]{}=,\té✓", max_size=6), st.sampled_from([1.5, -0.5]))
VALUES = st.recursive(
    LEAVES, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)), max_leaves=8
)


def quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped}"'


def key_of(draw: Any, key: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9_-]+", key) and draw(st.booleans()):
        return key
    return f"'{key}'" if "'" not in key and "\t" not in key and draw(st.booleans()) else quoted(key)


def literal(draw: Any, value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        forms = [quoted(value)]
        if "'" not in value:
            forms += [f"'''\n{value}'''", *([f"'{value}'"] if "\n" not in value else [])]
        if "\\" not in value and '"' not in value:
            forms += [f'"""\n{value}"""']
        return str(draw(st.sampled_from(forms)))
    if isinstance(value, list):
        gap = draw(st.sampled_from([" ", "\n  ", " # a ] comment\n", ""]))
        return f"[{gap}" + f",{gap}".join(literal(draw, one) for one in value) + f"{gap}]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key_of(draw, k)} = {literal(draw, v)}" for k, v in value.items()) + " }"
    return str(value)


@st.composite
def texts(draw: Any) -> str:
    """A text of headers, pairs with and without dots, lists of tables and comments."""
    lines: list[str] = []

    def table(value: dict[str, Any], prefix: list[str]) -> None:
        later: list[tuple[str, Any]] = []
        for name, one in value.items():
            tables = isinstance(one, list) and one and all(isinstance(i, dict) for i in one)
            if (isinstance(one, dict) or tables) and draw(st.booleans()):
                later.append((name, one))
                continue
            lines.append(f"{key_of(draw, name)}{draw(st.sampled_from([' = ', '=']))}{literal(draw, one)}")
            lines.extend(draw(st.sampled_from([[], [""], ["# [a] = b"], ["  "]])))
        for name, one in later:
            for inner in one if isinstance(one, list) else [one]:
                path = [*prefix, key_of(draw, name)]
                dot = draw(st.sampled_from([".", " . "]))
                lines.append(f"[[{dot.join(path)}]]" if isinstance(one, list) else f"[{dot.join(path)}] # x")
                table(inner, path)

    table(draw(st.dictionaries(KEYS, VALUES, max_size=5)), [])
    return "\n".join(lines) + draw(st.sampled_from(["", "\n"]))


@given(texts())
def test_every_key_of_any_text_is_found(text: str) -> None:
    check(text, read_toml(text.encode()))


def test_a_byte_order_mark_and_windows_line_ends_change_nothing() -> None:
    plain = read_toml(b'a = 1\n[b]\nc = "x"\n')
    assert read_toml(b'\xef\xbb\xbfa = 1\r\n[b]\r\nc = "x"\r\n') == plain


@pytest.mark.parametrize(
    ("data", "message", "place"),
    [
        (b"a = \n", "not TOML: invalid value", (1, 5)),
        (b"a = 1\na = 2\n", "not TOML: cannot overwrite a value", (2, 6)),
        (b"[a]\n[a]\n", "not TOML: cannot declare ('a',) twice", (2, 3)),
        (b"x = 1\n\xc3\xa9\xff = 1\n", "byte 0xff is not UTF-8", (2, 2)),
        (b"a = '" + b"x" * MAX_BYTES, f"the file has more than {MAX_BYTES} bytes", (0, 0)),
        (b"a = " + b"[" * 5_000, "the file is nested too deeply", (0, 0)),
        (b"a" + b".a" * 20_000 + b" = 1", "a key has more than 100 parts", (0, 0)),
        (b"[a" + b" . a" * 20_000 + b"]", "a key has more than 100 parts", (0, 0)),
        (b"a = {b" + b".b" * 200 + b" = 1}", "a key has more than 100 parts", (0, 0)),
    ],
)
def test_what_is_not_toml_is_told_with_its_place(data: bytes, message: str, place: tuple[int, int]) -> None:
    with pytest.raises(NotTomlError) as told:
        read_toml(data)
    assert (told.value.message.partition(" (")[0] if "declare" not in message else told.value.message) == message
    assert (told.value.line, told.value.column) == place


def test_dots_in_texts_comments_and_numbers_are_no_parts_of_a_key() -> None:
    text = 'a = "' + "x." * 500 + '"\n# ' + "y." * 500 + "\nb = [" + "1.5, " * 500 + "]\n'" + "z." * 300 + "' = 1\n"
    assert len(read_toml(text.encode()).value) == 3


@pytest.mark.parametrize("unit", ['"""x\\"', "'''", '"', '"""', "[[a]]\n", "a = [", "{", "#", "a.b.c=1\n", "'x'=[{}]\n", "\\"])
def test_reading_takes_time_in_proportion(unit: str) -> None:
    """A hostile file ends in a fault, or is read; it never takes long."""
    data = (unit * (MAX_BYTES // len(unit)))[:MAX_BYTES].encode()
    start = time.process_time()
    with contextlib.suppress(NotTomlError):
        read_toml(data)
    assert time.process_time() - start < 10  # one that took the square of it would take hours
