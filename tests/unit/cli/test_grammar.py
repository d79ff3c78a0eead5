"""The grammar of the command line, as a table: what each command prints, and which words its options may have."""

from __future__ import annotations

import click
import pytest

from aether_protocol.cli.command import Option
from tests.unit.cli.test_command_line import COMMANDS, LEAVES

# Command -> the forms of -o, in the order of its help; the first one is the default. Every command has a row.
DRIVES = "text|json|events"
FOUND = "text|json|github|sarif"
LISTED = "text|json"
SHOWN = "text|json|yaml"
HOSTS = "text|events"
FORMS = {
    "init": "",
    "validate": FOUND,
    "graph": "text|ascii|svg|html|mermaid|dot",
    "test": "text|json|junit",
    "explain": LISTED,
    "apply": LISTED,
    "library diff": LISTED,
    "library ls": LISTED,
    "library rm": LISTED,
    "library show": SHOWN,
    "template apply": LISTED,
    "template ls": LISTED,
    "template rm": LISTED,
    "template show": SHOWN,
    "executors": LISTED,
    "config path": LISTED,
    "config show": LISTED,
    "config validate": FOUND,
    "schema": "json",
    "run": DRIVES,
    "resume": DRIVES,
    "cancel": DRIVES,
    "retry": DRIVES,
    "wait": LISTED,
    "cron apply": LISTED,
    "cron ls": LISTED,
    "cron show": LISTED,
    "cron next": LISTED,
    "cron suspend": LISTED,
    "cron resume": LISTED,
    "cron rm": LISTED,
    "cron history": LISTED,
    "cron run": HOSTS,
    "cron tick": HOSTS,
    "cron trigger": DRIVES,
    "cron backfill": HOSTS,
    "cron export": "crontab|systemd",
    "watch": LISTED,
    "ls": LISTED,
    "stats": LISTED,
    "show": LISTED,
    "status": LISTED,
    "workflow list": LISTED,
    "logs": LISTED,
    "events": "json|text",
    "replay": LISTED,
    "diff": LISTED,
    "report": "html",
    "rm": LISTED,
    "prune": LISTED,
    "export": "jsonl|case",
    "import": LISTED,
    "db check": LISTED,
    "db copy": LISTED,
    "db info": LISTED,
    "db migrate": LISTED,
    "db vacuum": LISTED,
    "token create": LISTED,
    "token ls": LISTED,
    "token revoke": LISTED,
    "namespace create": LISTED,
    "namespace ls": LISTED,
    "namespace rm": LISTED,
    "audit": LISTED,
    "ui": HOSTS,
    "serve": HOSTS,
    "server ls": LISTED,
    "worker ls": LISTED,
    "worker drain": LISTED,
    "worker-check": LISTED,
}

# Short spelling -> (the long one that it always stands for, the one command that has it, or None: any).
SHORT = {
    "-h": ("--help", None),
    "-k": ("", "test"),
    "-f": ("--follow", None),
    "-l": ("--label", None),
    "-n": ("--namespace", None),
    "-o": ("--output", None),
    "-p": ("--parameter", None),
    "-q": ("--quiet", None),
    "-v": ("--verbose", "test"),
    "-x": ("--fail-fast", "test"),
    "-L": ("--library", None),
}

# A word that is in several commands means the same there: its metavar, or None for a flag.
METAVARS = {
    "--to": {"PATH", "DIR"}, "--limit": {"N"}, "--max": {"NAME=N"}, "--store": {"URL", "TIER"}, "--namespace": {"NAME"},
    "--reason": {"TEXT"}, "--page": {"CURSOR"}, "--resume": {"TASK=PAYLOAD"}, "--parameter": {"NAME=VALUE"},
    "--profile": {"NAME"}, "--workspace": {"DIR", None}, "--concurrency": {"N"}, "--library": {"DIR"},
    "--follow": {None}, "--quiet": {None}, "--dry-run": {None}, "--at": {"SEQ"}, "--until": {"TIME"},
}  # fmt: skip

# Commands that steer runs and record why.
REASONED = {"cancel", "resume", "retry"}
# Spellings of before that still work and that no help shows.
HIDDEN = {"--format", "--json", "--junit", "--number"}


def options(words: str) -> dict[str, Option]:
    found = {}
    for one in LEAVES[f"aether {words}"].params:
        if isinstance(one, click.Option):
            assert isinstance(one, Option)
            found |= dict.fromkeys([*one.opts, *one.secondary_opts], one)
    return found


def test_every_command_has_a_row() -> None:
    assert {f"aether {words}" for words in FORMS} == set(LEAVES)


@pytest.mark.parametrize(("words", "forms"), FORMS.items())
def test_a_command_prints_in_these_forms_and_into_a_file(words: str, forms: str) -> None:
    has = options(words)
    if not forms:
        assert has["--output"] is has["--to"], "a folder that is made"
        return
    assert "|".join(has["--output"].type.words) == forms  # type: ignore[attr-defined]
    assert has["-o"] is has["--output"] is has["--format"]
    assert ("--json" in has) == bool({"json", "events"} & set(forms.split("|")))
    assert "--to" in has


@pytest.mark.parametrize("words", FORMS)
def test_a_word_means_one_thing(words: str) -> None:
    has = options(words)
    for spelling, one in has.items():
        assert spelling == "--color" or one.help, spelling
        if not spelling.startswith("--"):
            long, only = SHORT[spelling]
            assert long in ("", *one.opts), spelling
            assert only in (None, words), spelling
        shown = one.metavar if not one.is_flag else None
        assert shown in METAVARS.get(spelling, {shown}), spelling
    assert {"-q", "--quiet", "--color"} <= set(has)
    assert ("--reason" in has) == (words in REASONED)
    assert ("--no-progress" in has) == (FORMS[words] == DRIVES)
    configured = has.get("--store", has["--quiet"]).metavar == "URL" or words in ("config path", "config show")
    assert ("--profile" in has) == configured


@pytest.mark.parametrize("words", FORMS)
def test_no_help_shows_a_spelling_of_before(words: str) -> None:
    command = LEAVES[f"aether {words}"]
    context = click.Context(command, info_name=words, max_content_width=80, help_option_names=["-h", "--help"])
    shown = command.get_help(context)  # which the command remembers
    spellings = {part.strip(",") for line in shown.splitlines() for part in line[:34].split() if part.startswith("--")}
    assert not spellings & HIDDEN
    assert "table" not in shown


@pytest.mark.parametrize("words", COMMANDS)
def test_help_is_of_one_style(words: str) -> None:
    command = COMMANDS[words]
    assert command.help is not None
    first = command.help.strip().splitlines()[0]
    assert first[0].isupper(), first
    for one in command.params:
        text = getattr(one, "help", None)
        assert text is None or (text[0].isupper() and text.endswith(".")), text
