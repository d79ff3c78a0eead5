"""`--run-id`: the one run that a name means, whatever became of it.

Law: what was recorded is what is gone on with. A document or parameters that differ are told and not used. A retry of ID is
ID.2, the next one ID.3, and so is a retry of such a retry: the name means the newest of them all (RT-42).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import click

from aether_protocol.cli.begun import FinishedRun
from aether_protocol.cli.exits import FINE_PHASES
from aether_protocol.errors import BusyError
from aether_protocol.execution.masking import MASK
from aether_protocol.expressions.json_copy import shown
from aether_protocol.expressions.values import Json
from aether_protocol.plan.model import Plan
from aether_protocol.ports.store import RunQuery, RunSummary, Store
from aether_protocol.views.text import as_value, printable

if TYPE_CHECKING:
    from aether_protocol.assembly import Engine


_PAGE: Final = 1_000
_NUMBERED: Final = re.compile(r"(.+)\.([0-9]{1,9})")


async def current(store: Store, run_id: str) -> RunSummary | None:
    """The run of that name, or the newest of its retries; None where there is neither."""
    row = await store.row(run_id)
    base = _base(run_id, row)
    found = [] if row is None else [row]
    names = {run_id}
    for retry in await _retries(store, base):
        if run_id == base or retry.retry_of in names:
            names.add(retry.run_id)
            found.append(retry)
    return max(found, key=lambda one: one.created_at, default=None)  # old retries of a deleted run do not hide a new one


async def next_id(store: Store, run_id: str) -> str:
    """The id of the next retry of a run: ID.2, ID.3 and so on."""
    base = _base(run_id, await store.row(run_id))
    number = 2
    for retry in await _retries(store, base):
        number = max(number, int(retry.run_id[len(base) + 1 :]) + 1)
    while await store.row(f"{base}.{number}") is not None:  # a name that somebody chose
        number += 1
    return f"{base}.{number}"


def _base(run_id: str, row: RunSummary | None) -> str:
    """The name that retries of this run share."""
    numbered = _NUMBERED.fullmatch(run_id)
    return numbered[1] if row is not None and row.retry_of is not None and numbered is not None else run_id


async def _retries(store: Store, base: str) -> list[RunSummary]:
    """The retries named `base`.N that are still there, oldest first."""
    query = RunQuery(prefix=f"{base}.", retries=True, limit=_PAGE)
    found: list[RunSummary] = []
    while rows := await store.rows(query):
        for row in rows:
            numbered = _NUMBERED.fullmatch(row.run_id)
            if numbered is not None and numbered[1] == base:
                found.append(row)
        query.before = (rows[-1].created_at, rows[-1].run_id)
    return found[::-1]


async def go_on(engine: Engine, store: Store, row: RunSummary, *, again: bool, tells: bool) -> str | FinishedRun:
    """Carry on with an unfinished run, retry one that did not succeed if that is wanted, else it is over."""
    if not row.closed:
        try:
            return row.run_id if await engine.recover([row.run_id]) else FinishedRun(row.run_id)
        except BusyError as error:
            hint = f"'aether wait {row.run_id}' waits for its end, 'aether logs {row.run_id} --follow' shows what it does"
            raise BusyError(error.message, hint=hint) from error
    if again and row.phase not in FINE_PHASES:
        new_id = await engine.retry(row.run_id, new_id=await next_id(store, row.run_id))
        if tells:
            click.echo(f"run {row.run_id} is {row.phase}: retrying it as {new_id}", err=True)
        return new_id
    return FinishedRun(row.run_id)


async def tell_what_changed(store: Store, row: RunSummary, plan: Plan, arguments: Mapping[str, Json]) -> None:
    """Warn of a document or parameters that are not those of the recorded run."""
    used = "the recorded one is used" if not row.closed else "the result is that of the recorded one"
    if plan.digest != row.digest:
        _warn(
            f"run {row.run_id} was made from another version of this document: {used}",
            f"recorded {row.digest}, the file is {plan.digest}; take another --run-id to run the file as it is now",
        )
    if not arguments:
        return
    recorded = shown((await store.load(row.run_id)).header.parameters)
    for name, value in shown(arguments).items():
        if name not in recorded or recorded[name] != value:
            was = as_value(recorded[name], 80) if name in recorded else "nothing"
            given = "what was given" if MASK in was else as_value(value, 80)  # it may be the secret
            _warn(f"run {row.run_id} has {printable(name)} = {was}, not {given}: {used}", None)


def _warn(text: str, hint: str | None) -> None:
    click.secho("warning: ", err=True, nl=False, fg="yellow", bold=True)
    click.echo(text, err=True)
    if hint:
        click.echo(f"  hint: {hint}", err=True)
