"""`aether audit`: what was changed through servers of a store."""

from __future__ import annotations

import json
from typing import Annotated

import click
from msgspec import Struct
from msgspec.structs import asdict

from aether_protocol.cli.administering import administer
from aether_protocol.cli.command import command_with, option
from aether_protocol.cli.exits import FINE
from aether_protocol.cli.options import NamespaceFilter, PageSize, StoreOption, TextOrJson, ToOption
from aether_protocol.cli.terminal import messages
from aether_protocol.cli.value_types import Number
from aether_protocol.service.access.administration import MOST_READ

EPILOG = """\b
Examples:
  aether audit
  aether audit --namespace team-a -o json

In JSON, `next` is what --page of the next page is, null on the last one. Records are kept for 90 days, 100 000 at most."""


class AuditOptions(Struct, frozen=True, kw_only=True):
    """What `aether audit` takes."""

    namespace: NamespaceFilter = None
    limit: PageSize = 50
    page: Annotated[
        int | None,
        option("--page", type=Number(1), metavar="CURSOR", help="The next page: what the page before named."),
    ] = None
    output: TextOrJson = "text"
    to: ToOption = None
    store: StoreOption


@command_with(AuditOptions, "audit", epilog=EPILOG)
def command(options: AuditOptions) -> int:
    """Show what callers of a server changed, or were refused, newest first: runs, documents, schedules, tokens."""
    found = administer(
        options.store,
        lambda admin: admin.audit(before=options.page, limit=options.limit, namespace=options.namespace),
    )
    following = found[-1].id if len(found) == min(options.limit, MOST_READ) else None
    if options.output == "json":
        from aether_protocol.scheduler.timing import rfc3339

        records = [{**asdict(one), "at": rfc3339(one.at)} for one in found]
        click.echo(json.dumps({"records": records, "next": following}, indent=2, ensure_ascii=False))
        return FINE
    if not found:
        messages.note("nothing was changed through a server yet")
        return FINE
    from aether_protocol.cli.render.table import show_table
    from aether_protocol.cli.render.times import here
    from aether_protocol.views.text import one_line

    rows = [
        [here(one.at), one_line(one.actor, 40), one.action, one_line(one.namespace, 40), one_line(one.target, 60), one.outcome]
        for one in found
    ]
    show_table(["AT", "WHO", "WHAT", "NAMESPACE", "ON", "OUTCOME"], rows, least=("NAMESPACE",))
    if following is not None:
        messages.note(f"more with: --page {following}")
    return FINE
