"""A group of commands that loads each of them when it is asked for, and helps with a misspelt one.

Law: a command's module is imported when that command is asked for and not before. The one-line help texts therefore stand
with the group, in a table: by section, name -> (module, line). The command is `command` in that module of the package.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click

from aether_protocol.cli.command import PlainHelp
from aether_protocol.errors import PortError

Sections = Mapping[str, Mapping[str, tuple[str, str]]]


class UnknownCommandError(click.UsageError):
    """A command that there is not, with the one that was probably meant."""

    def __init__(self, message: str, hint: str, ctx: click.Context) -> None:
        super().__init__(message, ctx)
        self.hint = hint


class CommandGroup(PlainHelp, click.Group):
    """A group that says what it takes, and that a command is missing, where it is given none."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.no_args_is_help = False

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args and not ctx.resilient_parsing:
            click.echo(ctx.get_help(), err=True)
            raise UnknownCommandError("a command is missing", f"'{ctx.command_path} COMMAND --help' says what one takes", ctx)
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name, names = args[0], self.list_commands(ctx)
        if name not in names and not name.startswith("-"):
            from aether_protocol.diagnostics.suggest import suggest

            near = suggest(name, names)
            hint = f"did you mean {near!r}?" if near else f"'{ctx.command_path} --help' lists the commands"
            raise UnknownCommandError(f"no such command {name!r}", hint, ctx)
        return super().resolve_command(ctx, args)


class LazyGroup(CommandGroup):
    """`package` holds the modules; `sections` is the table, which `--help` lists."""

    def __init__(self, *args: Any, package: str, sections: Sections, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.package = package
        self.sections = sections
        self.table = {name: entry for section in sections.values() for name, entry in section.items()}

    def invoke(self, ctx: click.Context) -> object:
        try:
            given: object = super().invoke(ctx)
        except BrokenPipeError as error:  # of no standard stream; click would exit with 1, which here means that a run Failed
            raise PortError("a pipe was closed at its other end") from error
        return given

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.table:
            return None
        command: click.Command = import_module(f"{self.package}.{self.table[cmd_name][0]}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, self.table))
        for title, commands in self.sections.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), line) for name, (_, line) in commands.items()])
