"""Errors of one look: whatever is wrong, each command says on standard error what it is and what can be done."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from aether_protocol.cli.value_types import Location, Number, OneOf
from tests.e2e.furnished import READS, WRITES, furnished_folder
from tests.e2e.process import aether
from tests.e2e.store_cli import Cli, Said, make_cli
from tests.unit.cli.test_command_line import LEAVES

STORE = Path(".aether/aether.db")
CODES = {2, 3, 4, 8, 9}
ONE_LOOK = re.compile(r"(?:.*\n)*?error: [^\n]*[^.\n](?:\n  hint: [^\n]*(?:[^.\n]|\.\.\.))*\n", re.MULTILINE)
# What an argument must be so that the option beside it is the only fault.
ARGUMENTS = {
    "RUN": "good", "NAME": "nightly", "NAME...": "nightly", "RUN...": "good", "FILE": "good.yaml", "PATH...": "good.yaml",
    "FILE...": "words.yaml", "NAME|FILE": "nightly", "FILE|NAME": "nightly", "ID": "1234567890ab", "COMMAND...": "true",
    "FROM": "sqlite:from.db", "TO": "sqlite:to.db",
}  # fmt: skip


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    shutil.copytree(furnished_folder(), tmp_path, dirs_exist_ok=True)
    return make_cli(tmp_path, monkeypatch, capsys)


def assert_one_look(said: Said, *codes: int) -> None:
    assert said.code in (codes or CODES), said
    assert said.out == ""
    assert ONE_LOOK.fullmatch(said.err), said.err
    assert "Traceback" not in said.err
    assert "internal error" not in said.err


WRONG = {OneOf: ("zz", ""), Number: ("x", "", "-1", "1.x"), Location: ("no/such\nplace" * 30,)}


def wrong_options() -> list[tuple[str, str, str]]:
    """Each option of each command with a value that its type does not take."""
    found = []
    for words, command in LEAVES.items():
        for one in command.params:
            if isinstance(one, click.Option) and not one.is_flag:
                spelling = max(one.opts, key=len)
                if not isinstance(one.type, Location) or one.type.exists:
                    found += [(words.removeprefix("aether "), spelling, value) for value in WRONG.get(type(one.type), ())]
    return found


@pytest.mark.parametrize(("words", "option", "value"), wrong_options(), ids=lambda text: text[:12])
def test_a_value_that_an_option_does_not_take(cli: Cli, words: str, option: str, value: str) -> None:
    needed = [one for one in LEAVES[f"aether {words}"].params if isinstance(one, click.Argument) and one.required]
    arguments = [ARGUMENTS[str(one.metavar)] for one in needed]
    said = cli(*words.split(), *arguments, f"{option}={value}")
    assert_one_look(said, 2)
    assert said.err.startswith(f"error: invalid value for {option}: {value!r}"[:60]) or repr(value)[:20] in said.err
    assert "range" not in said.err


@pytest.mark.parametrize("words", LEAVES)
def test_what_is_missing_or_too_much(cli: Cli, words: str) -> None:
    given = words.split()[1:]
    assert_one_look(cli(*given, *["zz"] * 9, "--no-such"), 2)
    needed = [one for one in LEAVES[words].params if one.required]
    if needed:
        assert_one_look(cli(*given), 2)


FILES: dict[str, Callable[[Path], object]] = {
    "missing": lambda path: None,
    "folder": lambda path: path.mkdir(),
    "bytes": lambda path: path.write_bytes(bytes(range(256)) * 9),
    "empty": lambda path: path.write_text(""),
    "scalar": lambda path: path.write_text("3\n"),
    "list": lambda path: path.write_text("[1, 2]\n"),
    "half": lambda path: path.write_text("{"),
    "deep": lambda path: path.write_text("[" * 5000),
    "utf16": lambda path: path.write_bytes("apiVersion: aether/v1".encode("utf-16")),
    "loop": lambda path: path.symlink_to(path.name),
    "case": lambda path: path.write_text("case: a\nexpect: {}\n"),
}
READERS = (
    "graph {}", "run {}", "run good.yaml --params-file {}", "run good.yaml --secrets-file {}", "template apply {}",
    "cron apply {}", "cron next ./{}", "cron export -o crontab ./{}", "import {}",
)  # fmt: skip


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("line", READERS)
def test_a_file_that_is_not_what_it_should_be(cli: Cli, line: str, kind: str) -> None:
    FILES[kind](Path("wrong"))
    if line == "run good.yaml --secrets-file {}" and kind in ("empty", "folder"):
        return  # no secrets
    assert_one_look(cli(*line.format("wrong").split()))


@pytest.mark.parametrize("name", ["wrong.toml", "x" * 300, "a\nb", "\x1b[31m", "empty/x"])
@pytest.mark.parametrize("line", READERS)
def test_a_name_that_no_file_of_that_kind_has(cli: Cli, line: str, name: str) -> None:
    Path("empty").touch()
    Path("wrong.toml").write_text("[store]\n", "utf-8")
    if line.startswith("run good.yaml --secrets") and name == "wrong.toml":
        return  # a kind of its own there
    said = cli(*(word.format(name) for word in line.split()))
    assert_one_look(said)
    assert "\x1b" not in said.err


def newer() -> None:
    with sqlite3.connect(STORE) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()


def foreign() -> None:
    STORE.unlink()
    with sqlite3.connect(STORE) as connection:
        connection.execute("CREATE TABLE t (x)")
    connection.close()


def torn() -> None:
    data = bytearray(STORE.read_bytes())
    data[4096:] = bytes(len(data) - 4096)
    STORE.write_bytes(data)


def replaced_by_folder() -> None:
    STORE.unlink()
    STORE.mkdir()


STORES: dict[str, Callable[[], object]] = {
    "newer": newer,
    "foreign": foreign,
    "torn": torn,
    "text": lambda: STORE.write_text("this is not a database\n" * 9, "utf-8"),
    "folder": replaced_by_folder,
}
NEEDS_NO_STORE = r"validate|test|explain|executors|config|schema|cron next nightly.yaml|run good.yaml --dry|import|graph"
USES_STORE = [line for line in [*READS, *WRITES] if not re.match(NEEDS_NO_STORE, line)]


@pytest.mark.parametrize("kind", STORES)
@pytest.mark.parametrize("line", USES_STORE)
def test_a_store_that_cannot_be_used(cli: Cli, line: str, kind: str) -> None:
    for beside in ("-wal", "-shm"):
        Path(f"{STORE}{beside}").unlink(missing_ok=True)
    STORES[kind]()
    before = STORE.read_bytes() if STORE.is_file() else b""
    said = cli(*line.split())
    assert_one_look(said, 9)
    assert str(STORE) in said.err
    assert (STORE.read_bytes() if STORE.is_file() else b"") == before, "it was not touched"


@pytest.mark.parametrize("line", USES_STORE)
def test_a_store_that_is_not_there(cli: Cli, line: str) -> None:
    shutil.rmtree(STORE.parent)
    said = cli(*line.split())
    if line.startswith(("run ", "cron apply", "template apply")):
        assert said.code == 0
        return
    assert_one_look(said, 2)
    assert not STORE.exists()


def test_what_fails_where_nothing_can_catch_it_shows_no_traceback(tmp_path: Path) -> None:
    shutil.copytree(furnished_folder(), tmp_path, dirs_exist_ok=True)

    def few_descriptors() -> None:
        import resource

        resource.setrlimit(resource.RLIMIT_NOFILE, (12, 12))

    for line in ("run good.yaml", "cron tick", "db migrate"):
        done = aether(*line.split(), cwd=tmp_path, before=few_descriptors, AETHER_STORE=f"sqlite:{STORE}")
        assert done.returncode in (0, 9)
        assert "Traceback" not in done.stderr
        assert done.returncode == 0 or ONE_LOOK.fullmatch(done.stderr), done.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the system has no full device")
@pytest.mark.parametrize("line", ["ls", "show bad", "validate good.yaml", "cron ls", "logs writes", "explain", "--help"])
def test_a_result_that_cannot_be_written(tmp_path: Path, line: str) -> None:
    shutil.copytree(furnished_folder(), tmp_path, dirs_exist_ok=True)

    def full() -> None:
        os.dup2(os.open("/dev/full", os.O_WRONLY), 1)

    done = aether(*line.split(), cwd=tmp_path, before=full, AETHER_STORE=f"sqlite:{STORE}")
    assert_one_look(Said(done.returncode, "", done.stderr), 9)
