"""`aether namespace`: the tenants of a server."""

from __future__ import annotations

import json
from typing import Annotated

import click
from msgspec import Struct

from aether_protocol.cli.administering import administer
from aether_protocol.cli.command import argument, command_with, option
from aether_protocol.cli.exits import FINE
from aether_protocol.cli.lazy_group import CommandGroup
from aether_protocol.cli.options import StoreOption, TextOrJson, ToOption
from aether_protocol.cli.terminal import messages
from aether_protocol.cli.value_types import Number

CREATE_EPILOG = """\b
Examples:
  aether namespace create team-a
  aether namespace create team-a --weight 3 --most 50

Where namespaces are declared, a server that knows its callers takes no run into another one. Declared again, a namespace
gets the weight and the limit that are given then."""


@click.group("namespace", cls=CommandGroup)
def command() -> None:
    """Declare namespaces: each is a tenant of a server, with runs, documents and schedules of its own."""


class NamespaceCreateOptions(Struct, frozen=True, kw_only=True):
    """What `aether namespace create` takes."""

    name: Annotated[str, argument("NAME")]
    weight: Annotated[
        int,
        option("--weight", type=Number(1, 1_000_000), default=1, show_default=True, metavar="N",
               help="Its share of the workers, beside others that have work waiting."),
    ] = 1
    most: Annotated[
        int | None,
        option("--most", type=Number(0, 1_000_000), metavar="N",
               help="At most N of its tasks at a time on workers; by default any number."),
    ] = None
    output: TextOrJson = "text"
    to: ToOption = None
    store: StoreOption


@command_with(NamespaceCreateOptions, "create", epilog=CREATE_EPILOG)
def create(options: NamespaceCreateOptions) -> int:
    """Declare a namespace, or change its weight and limit."""
    is_new = administer(
        options.store,
        lambda admin: admin.declare_namespace(options.name, weight=options.weight, limit=options.most),
        makes=True,
    )
    if options.output == "json":
        record = {"name": options.name, "weight": options.weight, "most": options.most, "isNew": is_new}
        click.echo(json.dumps(record, indent=2, ensure_ascii=False))
    else:
        click.echo(f"namespace {options.name} was {'declared' if is_new else 'changed'}")
    return FINE


class NamespaceListOptions(Struct, frozen=True, kw_only=True):
    """What `aether namespace ls` takes."""

    output: TextOrJson = "text"
    to: ToOption = None
    store: StoreOption


@command_with(NamespaceListOptions, "ls")
def ls(options: NamespaceListOptions) -> int:
    """List the namespaces that were declared."""
    found = administer(options.store, lambda admin: admin.namespaces())
    if options.output == "json":
        from aether_protocol.scheduler.timing import rfc3339

        records = [
            {"name": one.name, "weight": one.weight, "most": one.limit, "createdAt": rfc3339(one.created_at)} for one in found
        ]
        click.echo(json.dumps(records, indent=2, ensure_ascii=False))
        return FINE
    if not found:
        messages.note("no namespace was declared: runs may be in any", "'aether namespace create NAME' declares one")
        return FINE
    from aether_protocol.cli.render.table import show_table
    from aether_protocol.cli.render.times import here

    rows = [[one.name, str(one.weight), "any" if one.limit is None else str(one.limit), here(one.created_at)] for one in found]
    show_table(["NAME", "WEIGHT", "MOST", "SINCE"], rows, least=("SINCE",))
    return FINE


class NamespaceRemoveOptions(Struct, frozen=True, kw_only=True):
    """What `aether namespace rm` takes."""

    name: Annotated[str, argument("NAME")]
    output: TextOrJson = "text"
    to: ToOption = None
    store: StoreOption


@command_with(NamespaceRemoveOptions, "rm")
def rm(options: NamespaceRemoveOptions) -> int:
    """Take the declaration of a namespace away. One that has runs, documents or schedules stays."""
    administer(options.store, lambda admin: admin.remove_namespace(options.name), writes=True)
    if options.output == "json":
        click.echo(json.dumps({"removed": options.name}, ensure_ascii=False))
    else:
        click.echo(f"namespace {options.name} is not declared any more")
    return FINE


for _one in (create, ls, rm):
    command.add_command(_one)
