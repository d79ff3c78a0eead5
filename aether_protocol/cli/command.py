"""How a command is declared: one typed class says what it takes, its function gets an object of that class.

A field is an option or an argument where its annotation says so: `Annotated[TYPE, option("--name", ...)]`. A field whose
type is another such class stands for all the fields of that one. Fields that declare nothing keep their defaults.

    class GreetOptions(Struct, frozen=True, kw_only=True):
        name: Annotated[str, argument("NAME")]
        times: Annotated[int, option("--times", default=1, help="How often.")]

    @command_with(GreetOptions, "greet")
    def command(options: GreetOptions) -> int: ...

Law: the order of the fields is that of the help. Every command also takes `-q`, `--color` and `--help`.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from inspect import get_annotations
from typing import Any, Final, TypeVar, get_args

import click
from msgspec import Struct

from aether_protocol.cli.configured import take_profile
from aether_protocol.cli.terminal import messages
from aether_protocol.cli.terminal.color import COLOR_MODES, set_color
from aether_protocol.cli.terminal.streams import print_text
from aether_protocol.cli.value_types import TEXT, OneOf, WrongUsageError

_Options = TypeVar("_Options", bound=Struct)

TEXT_FORM: Final = "text"
JSON: Final = "json"
EVENTS: Final = "events"  # JSON, too: a line for each
TO: Final = "to"  # a field of this name is the file in which the result goes
_AS_JSON: Final = "as_json"


class Declared(Struct, frozen=True):
    """What an annotation says of a field: makes the parameter, given the field's name."""

    make: Callable[[str], click.Parameter]


# --- declaring ---


class Option(click.Option):
    """An option; the spellings in `old` work as well, and are not shown."""

    def __init__(self, names: Sequence[str], *, old: Sequence[str] = (), **settings: Any) -> None:
        super().__init__([*names, *old], **settings)
        self.old = frozenset(old)

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        shown, self.opts = self.opts, self._shown()
        try:
            return super().get_help_record(ctx)
        finally:
            self.opts = shown

    def get_error_hint(self, ctx: click.Context | None) -> str:
        return max(self._shown(), key=len)

    def _shown(self) -> list[str]:
        return [name for name in self.opts if name not in self.old]


def option(*names: str, old: Sequence[str] = (), **settings: Any) -> Declared:
    """An option with these spellings; `settings` are those of `click.Option`."""

    def make(field: str) -> click.Parameter:
        return Option([field, *names], old=old, **settings)

    return Declared(make)


def argument(metavar: str, **settings: Any) -> Declared:
    """An argument, shown as `metavar`; `settings` are those of `click.Argument`."""

    def make(field: str) -> click.Parameter:
        return click.Argument([field], metavar=metavar, **settings)

    return Declared(make)


def output_option(
    *forms: str, help: str = "How to print it.", old: Mapping[str, str] | None = None, to: bool = False  # noqa: A002
) -> Declared:
    """`-o`: in which of several forms to print, the first one unless it is given."""
    short = _json_form(forms)
    more = f" --json is short for -o {short}." if short is not None and len(forms) > 1 else ""
    words = {"table": "text"} if "text" in forms else {}
    kind = OneOf(forms, words | dict(old or {}), "--to" if to else None)
    return option("-o", "--output", old=["--format"], type=kind, default=forms[0], show_default=True, help=help + more)


def _json_form(forms: Sequence[str]) -> str | None:
    return next((form for form in (JSON, EVENTS) if form in forms), None)


# --- making ---


class PlainHelp(click.Command):
    """A command, or a group of them, whose `--help` is as click makes it, but that no translation of its text is looked for."""

    _own_help: click.Option | None = None

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        if self._own_help is None and ctx.help_option_names:
            self._own_help = click.Option(
                ["show_help", *ctx.help_option_names], is_flag=True, is_eager=True, expose_value=False, callback=_show_help,
                help="Show this message and exit.",
            )
        return self._own_help


def _show_help(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        click.echo(ctx.get_help(), color=ctx.color)
        ctx.exit()


class Command(PlainHelp):
    """A command that knows the spellings that some of its options had before."""

    moved: Mapping[str, str] = {}
    json_form = JSON  # what `--json` stands for
    not_a_file: tuple[click.ParamType[Any], str] | None = None

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            rest = super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            new = self.moved.get(error.option_name)
            if new is None:
                raise
            raise click.UsageError(f"{error.option_name} is now {new}", ctx) from None
        self._check_target(ctx)
        if ctx.params.pop(_AS_JSON, False):
            ctx.params["output"] = self.json_form
        return rest

    def _check_target(self, ctx: click.Context) -> None:
        """Refuse a `--to` that reads as what another option of this command takes."""
        given = ctx.params.get(TO)
        if self.not_a_file is None or given is None or ctx.resilient_parsing:
            return
        kind, word = self.not_a_file
        with suppress(click.BadParameter):
            kind.convert(str(given), None, ctx)
            told = f"--to names a file, and {str(given)!r} looks like the value of {word}"
            raise WrongUsageError(told, f"{word} {given}; a file of this name is ./{given}", ctx)


def command_with(
    options: type[_Options],
    name: str,
    *,
    epilog: str | None = None,
    moved: Mapping[str, str] | None = None,
    not_a_file: tuple[click.ParamType[Any], str] | None = None,
) -> Callable[[Callable[[_Options], int]], Command]:
    """Make a command of a function that takes `options`.

    Args:
        options: The class that declares what the command takes.
        name: The command's name.
        epilog: What stands at the end of its help.
        moved: Spellings that are errors by now, with what they are called today.
        not_a_file: A type and an option: a `--to` that reads as that type was meant for that option.
    """

    def made(body: Callable[[_Options], int]) -> Command:
        def run(**values: Any) -> int:
            if values.get("output", TEXT_FORM) == TEXT_FORM:
                print_text()
            if values.get(TO) is None:
                return body(build(options, values))
            from aether_protocol.cli.target import written_to

            as_it_comes = values.get("output") == EVENTS or bool(values.get("follow"))
            return written_to(values.get(TO), lambda: body(build(options, values)), as_it_comes=as_it_comes)

        parameters = parameters_of(options)
        command = Command(name, callback=run, params=parameters + _common(parameters), help=body.__doc__, epilog=epilog)
        command.moved = moved or {}
        command.not_a_file = not_a_file
        command.json_form = next(iter(_json_forms(parameters)), JSON)
        return command

    return made


def parameters_of(options: type[Struct]) -> list[click.Parameter]:
    """The parameters that a class declares, in the order of its fields."""
    found: list[click.Parameter] = []
    for name, kind in _annotations(options).items():
        if _is_group(kind):
            found += parameters_of(kind)
        elif (declared := _declared(kind)) is not None:
            parameter = declared.make(name)
            if type(parameter.type) is click.types.StringParamType:  # where no type is named
                parameter.type = TEXT
            found.append(parameter)
    return found


def build(options: type[_Options], values: Mapping[str, object]) -> _Options:
    """An object of the class from the values of its parameters, by field."""
    fields: dict[str, object] = {}
    for name, kind in _annotations(options).items():
        if _is_group(kind):
            fields[name] = build(kind, values)
        elif _declared(kind) is not None:
            fields[name] = values[name]
    return options(**fields)


def _common(own: Sequence[click.Parameter]) -> list[click.Parameter]:
    """What every command takes, apart from what it declares itself."""
    more: list[click.Parameter] = [
        Option([_AS_JSON, "--json"], is_flag=True, hidden=True, help=f"The same as -o {form}.") for form in _json_forms(own)
    ]
    if any("--store" in one.opts and one.type is click.UNPROCESSED for one in own):  # what else is configured comes with it
        more.append(profile_option("profile", expose_value=False))
    return more + [make() for name, make in TERMINAL_OPTIONS.items() if name not in {one.name for one in own}]


def _json_forms(own: Sequence[click.Parameter]) -> list[str]:
    """What `--json` of a command with these parameters stands for: one form, or none."""
    forms = [_json_form(one.type.words) for one in own if isinstance(one.type, OneOf) and one.name == "output"]
    return [form for form in forms if form is not None]


def quiet_option() -> click.Parameter:
    """`-q` of a command that declares none of its own."""
    return Option(["quiet", "-q", "--quiet"], is_flag=True, expose_value=False, callback=_hear_quiet,
                  help="Say nothing on standard error but errors and warnings.")


def color_option() -> click.Parameter:
    """`--color` of every command."""
    return Option(["color", "--color"], type=OneOf(COLOR_MODES), expose_value=False, callback=_hear_color, is_eager=True,
                  help="Whether to use colours; auto (the default) does on a terminal.")


TERMINAL_OPTIONS: Final[Mapping[str, Callable[[], click.Parameter]]] = {"quiet": quiet_option, "color": color_option}


def _hear_quiet(ctx: click.Context, _: click.Parameter, quiet: bool) -> bool:
    if quiet:
        messages.set_quiet()
    return quiet


def _hear_color(ctx: click.Context, _: click.Parameter, mode: str | None) -> None:
    if mode is not None:
        ctx.color = set_color(mode)


def quiet(text: str = "No progress and no notes on standard error.") -> Declared:
    """`-q` of a command that leaves out more than notes; `text` is its help."""
    return Declared(lambda field: Option([field, "-q", "--quiet"], is_flag=True, callback=_hear_quiet, help=text))


def profile_option(field: str, *, expose_value: bool = True) -> click.Parameter:
    """`--profile` of a command that reads the configuration."""
    return Option(
        [field, "--profile"], is_eager=True, expose_value=expose_value, callback=_hear_profile, metavar="NAME",
        help="Settings of [profile.NAME] in aether.toml win over the others there. AETHER_PROFILE sets another default.",
    )


def _hear_profile(ctx: click.Context, parameter: click.Parameter, name: str | None) -> str | None:
    take_profile(ctx, parameter, name)
    return name


PROFILE: Final = Declared(profile_option)


class _Names(dict[str, Any]):
    """The names of a module; a name that is there for the type checker alone can be anything."""

    def __missing__(self, name: str) -> Any:
        return getattr(builtins, name, Any)


@cache  # asked for what a command takes, and again to make of it what was given
def _annotations(options: type[Struct]) -> dict[str, Any]:
    """The annotations of all fields, in the order of the fields, without importing what only the type checker needs."""
    found: dict[str, Any] = {}
    for kind in reversed(options.__mro__):
        if issubclass(kind, Struct) and kind is not Struct:
            names = _Names(vars(sys.modules[kind.__module__]))
            for name, text in get_annotations(kind).items():
                found[name] = eval(text, {}, names) if isinstance(text, str) else text
    return found


def _declared(kind: Any) -> Declared | None:
    return next((one for one in get_args(kind)[1:] if isinstance(one, Declared)), None)


def _is_group(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Struct)
