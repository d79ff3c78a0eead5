"""The standard streams: encodings, what is left out of a flood, readers that do not read. Over real pipes."""

from __future__ import annotations

import codecs
import io
import json
import os
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aether_protocol.cli.terminal import streams
from aether_protocol.cli.terminal.streams import CHUNK, FLOOD, Outlet, Stream

Pipe = tuple[int, int]


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    ends = os.pipe()
    yield ends
    for end in ends:
        try:
            os.close(end)
        except OSError:
            continue  # the test closed it


def written(text: str, encoding: str) -> bytes:
    reading, writing = os.pipe()
    try:
        Stream(writing, encoding).write(text)
        return os.read(reading, 1 << 16)
    finally:
        os.close(reading)
        os.close(writing)


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("utf-8", "✓ é \\ud800 😀".encode()),
        ("latin-1", b"\\u2713 \xe9 \\ud800 \\ud83d\\ude00"),
        ("ascii", b"\\u2713 \\u00e9 \\ud800 \\ud83d\\ude00"),
        ("cp1252", b"\\u2713 \xe9 \\ud800 \\ud83d\\ude00"),
        ("utf-16", codecs.BOM_UTF16 + "✓ é \\ud800 😀".encode("utf-16")[2:]),
        ("iso2022_jp", b"\\u2713 \\u00e9 \\ud800 \\ud83d\\ude00"),
    ],
)
def test_what_an_encoding_cannot_hold_is_escaped(encoding: str, expected: bytes) -> None:
    assert written("✓ é \ud800 😀", encoding) == expected


@given(st.text(st.characters(codec=None), max_size=40), st.sampled_from(["ascii", "latin-1", "cp1252", "gb2312", "koi8-r"]))
def test_json_stays_that_json_in_any_encoding(text: str, encoding: str) -> None:
    out = written(json.dumps({text: [text]}, ensure_ascii=False), encoding)
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")  # halves that meet are one character
    assert json.loads(out.decode(encoding)) in ({text: [text]}, {whole: [whole]})


def test_a_mark_of_the_byte_order_comes_once(pipe: Pipe) -> None:
    stream = Stream(pipe[1], "utf-16")
    stream.write("a")
    stream.write("b")
    assert os.read(pipe[0], 100) == "ab".encode("utf-16")


def test_a_stream_without_a_reader_is_lost_and_says_nothing(pipe: Pipe) -> None:
    stream = Stream(pipe[1], "utf-8")
    os.close(pipe[0])
    assert stream.write("one\n") == 4
    assert isinstance(stream.lost, BrokenPipeError)
    assert stream.write("two\n") == 4
    stream.stops = True
    with pytest.raises(streams.LostOutputError):
        stream.write("three\n")


def test_bytes_are_refused_as_by_any_text_stream(pipe: Pipe) -> None:
    with pytest.raises(TypeError):
        Stream(pipe[1], "utf-8").write(b"x")  # type: ignore[arg-type]
    assert isinstance(Stream(pipe[1], "utf-8"), io.TextIOBase)


def test_a_flood_that_nobody_reads_is_bounded_and_counted(pipe: Pipe) -> None:
    stream = Stream(pipe[1], "utf-8", lambda count: f"({count} left out)")
    stream.aside(Outlet())
    line = "x" * 1023 + "\n"
    for _ in range(2 * FLOOD // 1024):
        stream.write(line)
    assert FLOOD - CHUNK <= stream.waiting <= FLOOD + CHUNK
    seen = os.read(pipe[0], CHUNK)
    while seen.count(b"\n") < FLOOD // 1024 - 64:
        seen += os.read(pipe[0], CHUNK)
    stream.write("late\n")
    os.set_blocking(pipe[0], True)
    while b"late\n" not in seen:
        seen += os.read(pipe[0], CHUNK)
    stream.back(1)
    lines = seen.decode().splitlines()
    assert lines[-1] == "late"
    left_out = int(lines[-2].strip("(").split()[0])
    assert left_out + len(lines) - 2 == 2 * FLOOD // 1024, "what is not there is counted"


def test_a_result_waits_without_a_bound(pipe: Pipe) -> None:
    stream = Stream(pipe[1], "utf-8")
    stream.aside(Outlet())
    for _ in range(3 * FLOOD // 1024):
        stream.write("x" * 1024)
    seen = 0
    while seen < 3 * FLOOD:
        seen += len(os.read(pipe[0], CHUNK))
    stream.back(None)
    assert stream.lost is None
    assert seen == 3 * FLOOD


def test_a_reader_that_takes_nothing_is_given_up(pipe: Pipe) -> None:
    stream = Stream(pipe[1], "utf-8", str)
    stream.aside(Outlet())
    stream.write("x" * 200_000)
    stream.back(0.05)
    assert stream.lost is not None
    assert stream.write("more") == 4


def test_a_pipe_that_another_program_made_not_block_is_waited_for(pipe: Pipe) -> None:
    os.set_blocking(pipe[1], False)
    stream = Stream(pipe[1], "utf-8")
    outlet = Outlet()
    stream.aside(outlet)
    stream.write("x" * 300_000)
    seen = 0
    while seen < 300_000:
        seen += len(os.read(pipe[0], CHUNK))
    stream.back(None)
    assert stream.lost is None
