"""`aether token`: who may use a server."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import click
from msgspec import Struct

from aether_protocol.cli.administering import administer
from aether_protocol.cli.command import argument, command_with, option
from aether_protocol.cli.exits import FINE
from aether_protocol.cli.instants import Ahead
from aether_protocol.cli.lazy_group import CommandGroup
from aether_protocol.cli.options import StoreOption, TextOrJson, ToOption
from aether_protocol.cli.terminal import messages
from aether_protocol.cli.value_types import OneOf
from aether_protocol.errors import UsageError
from aether_protocol.service.access.caller import EVERYWHERE
from aether_protocol.service.access.tokens import token_record

if TYPE_CHECKING:
    from aether_protocol.ports.store import AccessToken

CREATE_EPILOG = """\b
Examples:
  aether token create --name alice --role admin --all-namespaces
  aether token create --name ci --kind service --role operator -n team-a
  aether token create --name eve --role viewer -n team-a --expires 90d
  aether token create --name gpu-1 --kind worker --namespace team-a --pool gpu

The token is printed once, and cannot be shown again: the store keeps its SHA-256 alone. A server on this store takes it at
once; from then on it answers nothing without a token."""


@click.group("token", cls=CommandGroup)
def command() -> None:
    """Make, list and revoke the tokens by which a server knows people, services and workers."""


class TokenCreateOptions(Struct, frozen=True, kw_only=True):
    """What `aether token create` takes."""

    name: Annotated[str, option("--name", metavar="NAME", required=True, help="What audits and lists call its bearer.")]
    kind: Annotated[
        str,
        option("--kind", type=OneOf(["person", "service", "worker"]), default="person", show_default=True,
               help="A worker carries out tasks of its namespaces, and reads nothing."),
    ] = "person"
    role: Annotated[
        str | None,
        option("--role", type=OneOf(["viewer", "operator", "author", "admin"]),
               help="What it may do: read; begin and end runs too; apply documents too; look after tokens too."),
    ] = None
    namespaces: Annotated[
        tuple[str, ...],
        option("-n", "--namespace", multiple=True, metavar="NAME", help="Where it may do so. Several are allowed."),
    ] = ()
    everywhere: Annotated[bool, option("--all-namespaces", is_flag=True, help="In all namespaces, also later ones.")] = False
    pools: Annotated[
        tuple[str, ...],
        option("--pool", multiple=True, metavar="NAME", help="Of a worker: which pool it may join. Several are allowed."),
    ] = ()
    expires: Annotated[
        int | None,
        option("--expires", type=Ahead(), metavar="TIME", help="Until when it counts: 90d (from now), 2027-01-01, RFC 3339."),
    ] = None
    output: TextOrJson = "text"
    to: ToOption = None
    store: StoreOption


@command_with(TokenCreateOptions, "create", epilog=CREATE_EPILOG)
def create(options: TokenCreateOptions) -> int:
    """Make a token, and print it."""
    roles = _roles(options)
    made = administer(
        options.store,
        lambda admin: admin.create_token(
            options.kind, options.name, roles, expires_at=options.expires, pools=options.pools
        ),
        makes=True,
    )
    if options.output == "json":
        click.echo(json.dumps({**token_record(made.token), "token": made.text}, indent=2, ensure_ascii=False))
    else:
        click.echo(made.text)
        messages.note("keep it now: it cannot be shown again", f"'aether token revoke {made.token.id}' ends it")
    return FINE


def _roles(options: TokenCreateOptions) -> dict[str, str]:
    if options.everywhere == bool(options.namespaces):
        hint = "--namespace NAME, or --all-namespaces"
        both = "a token is for some namespaces or for all of them"
        raise UsageError(both if options.everywhere else "a token needs a namespace", hint=hint)
    if options.kind == "worker" and options.role is not None:
        raise UsageError("a worker has no role: it reads nothing", hint="leave --role out")
    if options.kind != "worker" and options.role is None:
        raise UsageError(f"the token of a {options.kind} needs a role", hint="--role viewer, operator, author or admin")
    role = options.role or "worker"
    return dict.fromkeys([EVERYWHERE] if options.everywhere else options.namespaces, role)


class TokenListOptions(Struct, frozen=True, kw_only=True):
    """What `aether token ls` takes."""

    output: TextOrJson = "text"
    to: ToOption = None
    store: StoreOption


@command_with(TokenListOptions, "ls")
def ls(options: TokenListOptions) -> int:
    """List tokens without their texts: whose they are, what they may do, and when they were used last."""
    found = administer(options.store, lambda admin: admin.tokens())
    if options.output == "json":
        click.echo(json.dumps([token_record(one) for one in found], indent=2, ensure_ascii=False))
        return FINE
    if found:
        _show(found)
    else:
        messages.note("there are no tokens yet", "'aether token create' makes one")
    return FINE


class TokenRevokeOptions(Struct, frozen=True, kw_only=True):
    """What `aether token revoke` takes."""

    token: Annotated[str, argument("ID")]
    output: TextOrJson = "text"
    to: ToOption = None
    store: StoreOption


@command_with(TokenRevokeOptions, "revoke")
def revoke(options: TokenRevokeOptions) -> int:
    """Let a token count no longer. Servers take notice within two seconds, and end its open streams.

    ID is the part of the token between its underscores, as 'aether token ls' shows it.
    """
    given = options.token.split("_")[1] if options.token.startswith("aeth_") else options.token
    token = administer(options.store, lambda admin: admin.revoke_token(given), writes=True)
    if options.output == "json":
        click.echo(json.dumps(token_record(token), indent=2, ensure_ascii=False))
    else:
        click.echo(f"{token.id} ({token.name}) is revoked")
    return FINE


def _show(tokens: Sequence[AccessToken]) -> None:
    from aether_protocol.cli.instants import now_us
    from aether_protocol.cli.render.table import show_table
    from aether_protocol.cli.render.times import here
    from aether_protocol.views.text import one_line

    now = now_us()
    rows = []
    for one in tokens:
        roles = ", ".join(f"{'all' if space == EVERYWHERE else space}: {role}" for space, role in sorted(one.roles.items()))
        state = "revoked" if one.revoked_at is not None else "expired" if (one.expires_at or now) < now else "counts"
        until = "for ever" if one.expires_at is None else here(one.expires_at)
        used = "never" if one.used_at is None else here(one.used_at)
        rows.append([one.id, one_line(one.name, 40), one.kind, one_line(roles, 60), state, until, used])
    show_table(["ID", "NAME", "KIND", "ROLES", "STATE", "UNTIL", "LAST USE"], rows, least=("LAST USE", "UNTIL"))


for _one in (create, ls, revoke):
    command.add_command(_one)
