"""One command line: every command speaks the same options, says what it takes in 80 columns, and refuses in one look."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest

from aether_protocol.cli import main
from aether_protocol.cli.command import Option
from aether_protocol.cli.root import root

COLUMNS = 80


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command and group, by its words."""
    with click.Context(root, info_name="aether") as ctx:
        yield "aether", root
        for name in root.list_commands(ctx):
            command = root.get_command(ctx, name)
            assert command is not None
            yield f"aether {name}", command
            if isinstance(command, click.Group):
                for one in command.list_commands(ctx):
                    part = command.get_command(ctx, one)
                    assert part is not None
                    yield f"aether {name} {one}", part


COMMANDS = dict(commands())
LEAVES = {words: command for words, command in COMMANDS.items() if not isinstance(command, click.Group)}


@pytest.mark.parametrize("words", COMMANDS)
def test_help_fits_80_columns(words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for columns in (COLUMNS, 200):
        monkeypatch.setenv("COLUMNS", str(columns))
        assert main([*words.split()[1:], "--help"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert [line for line in lines if len(line) > COLUMNS] == []


@pytest.mark.parametrize("words", LEAVES)
def test_every_option_has_help_and_means_one_thing(words: str) -> None:
    means = {"-n": "--namespace", "-f": "--follow", "-o": "--output", "-q": "--quiet", "-p": "--parameter", "-L": "--library"}
    for parameter in LEAVES[words].params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.opts
            for short, long in means.items():
                assert short not in parameter.opts or long in parameter.opts, parameter.opts
            if "--limit" in parameter.opts:
                assert parameter.metavar == "N"
            if "--max" in parameter.opts:
                assert parameter.metavar == "NAME=N"


@pytest.mark.parametrize("words", LEAVES)
def test_every_command_takes_quiet_and_color_and_those_with_json_take_its_short_form(words: str) -> None:
    options = {name: one for one in LEAVES[words].params if isinstance(one, Option) for name in one.opts}
    assert {"--quiet", "-q", "--color"} <= set(options)
    forms = getattr(options["--output"].type, "words", ()) if "--output" in options else ()
    assert ("--json" in options) == bool({"json", "events"} & set(forms))


@pytest.mark.parametrize(
    ("line", "error", "hint"),
    [
        ("replay r --to 3", "--to names a file, and '3' looks like the value of --at", "--at 3; a file of this name is ./3"),
        ("cron backfill x --from 1d --to 2h", "--to names a file, and '2h' looks like the value of --until",
         "--until 2h; a file of this name is ./2h"),
        ("validate x.yaml --limit nodes=3", "--limit is now --max", "'aether validate --help' says what it takes"),
        ("run x.yaml --limit nodes=3", "--limit is now --max", "'aether run --help' says what it takes"),
        ("export r -o run.jsonl", "invalid value for --output: 'run.jsonl' is not one of its values",
         "--to names the file: --to run.jsonl"),
        ("ls --limt 3", "no such option --limt", "did you mean --limit?"),
        ("ls --phase Faild", "invalid value for --phase: 'Faild' is not one of its values", "did you mean 'Failed'?"),
        ("graph x.yaml -o pgn", "invalid value for --output: 'pgn' is not one of its values",
         "it is one of: text, ascii, svg, html, mermaid, dot"),
        ("show", "missing argument 'RUN'", "usage: aether show [OPTIONS] RUN [TASK]"),
        ("cron shwo x", "no such command 'shwo'", "did you mean 'show'?"),
        ("valdate", "no such command 'valdate'", "did you mean 'validate'?"),
        ("ls --limit x", "invalid value for --limit: 'x' is not a whole number from 1 to 100000",
         "'aether ls --help' says what it takes"),
    ],
)
def test_wrong_usage_has_the_look_of_all_errors(
    line: str, error: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(line.split()) == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"error: {error}\n  hint: {hint}\n")


GROUPS = [words for words, one in COMMANDS.items() if words not in LEAVES and not one.invoke_without_command]  # type: ignore[attr-defined]


@pytest.mark.parametrize("words", GROUPS)
def test_a_group_without_a_command_says_what_it_takes(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words.split()[1:]) == 2
    out, err = capsys.readouterr()
    assert (out, err.startswith(f"Usage: {words} [OPTIONS] COMMAND [ARGS]...\n")) == ("", True)
    assert err.endswith(f"\nerror: a command is missing\n  hint: '{words} COMMAND --help' says what one takes\n")
    assert main([*words.split()[1:], "hepl"]) == 2
    assert capsys.readouterr().err.startswith("error: no such command 'hepl'\n  hint: ")


@pytest.mark.parametrize("given", [["--json"], ["-o", "json"], ["--output", "JSON"], ["--format", "json"]])
def test_the_forms_of_json_are_one(given: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "AE101", *given]) == 0
    assert capsys.readouterr().out.startswith('{\n  "code": "AE101"')


@pytest.mark.parametrize("given", [[], ["-o", "text"], ["-o", "table"], ["--output", "TABLE"], ["--format", "table"]])
def test_table_is_an_old_word_for_text(given: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "AE101", *given]) == 0
    assert capsys.readouterr().out.startswith("AE101 (error) ")


ESCAPE = "\x1b["


@pytest.mark.parametrize(
    ("env", "given", "colored"),
    [
        ({}, [], False),  # it is not a terminal
        ({}, ["--color", "always"], True),
        ({"FORCE_COLOR": "1"}, [], True),
        ({"FORCE_COLOR": "0"}, [], False),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, [], False),
        ({"FORCE_COLOR": "1"}, ["--color", "never"], False),
        ({"NO_COLOR": "1"}, ["--color", "always"], True),
        ({"NO_COLOR": "1"}, ["--color", "auto"], False),
        ({"TERM": "dumb", "FORCE_COLOR": "1"}, [], True),
    ],
)
@pytest.mark.parametrize("line", ["explain AE101", "show nothing --store sqlite:none.db"])
def test_colors_are_decided_by_option_then_environment_then_terminal(
    env: dict[str, str], given: list[str], colored: bool, line: str,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    for arguments in ([*line.split(), *given], [*given, *line.split()]):
        main(arguments)
        out, err = capsys.readouterr()
        assert (ESCAPE in out + err) == colored
