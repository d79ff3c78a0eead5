"""Schedules as commands name them: of a file or of a store, and the commands that are proposed for them.

Law: what a schedule is and how it changes is decided in `service.schedules`; what is reported, here.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

import click
from msgspec import Struct

from aether_protocol.cli.configured import usual_store
from aether_protocol.cli.options import MEMORY
from aether_protocol.cli.stored import ask, is_there
from aether_protocol.cron.settings import CronSettings
from aether_protocol.documents.source import DocumentLimits
from aether_protocol.errors import UsageError
from aether_protocol.service.schedules.find import called, full_name
from aether_protocol.views.text import printable


class Asked(Struct, frozen=True):
    """A schedule of a file or of the store, where only its times are needed."""

    namespace: str
    name: str
    settings: CronSettings


def refuse_memory(store: str) -> None:
    """Raise UsageError for a store that ends with the process: schedules outlive it."""
    if store == MEMORY:
        raise UsageError(
            "the store 'memory' ends with its process, and with it every schedule",
            hint="leave --store out, or give --store sqlite:PATH",
        )


def store_option_text(store: str) -> str:
    """What a proposed command must be given to find this store."""
    return "" if store == usual_store() else f" --store {shlex.quote(store)}"


def asked_for(what: str, namespace: str | None, store: str, limits: DocumentLimits) -> list[Asked]:
    """The CronWorkflows of a file, or a schedule of the store: whichever `what` means. Raises InvalidDocumentError for a
    faulty file, UsageError for what is not there."""
    from aether_protocol.cli.paths import names_file

    if names_file(what):
        from aether_protocol.cli.document_inputs import DocumentInputs
        from aether_protocol.compiler.schedule_settings import cron_settings
        from aether_protocol.service.schedules.check import read_cron_workflows

        inputs = DocumentInputs((), limits)
        models = read_cron_workflows(inputs.read_one(what), what, inputs.sources)
        return [Asked(model.metadata.namespace, model.metadata.name, cron_settings(model)) for model in models]
    if not is_there(store):
        hint = "a file is named with its ending, or as ./FILE; 'aether cron apply' makes a store"
        raise UsageError(f"{what!r} is not a file, and there is no store at {store!r} with schedules", hint=hint)
    found = ask(store, lambda client: client.schedules.get(full_name(what, namespace))).schedule
    return [Asked(found.namespace, found.name, found.settings)]


def switch(store: str, namespace: str | None, names: Sequence[str], *, suspend: bool, as_json: bool) -> None:
    """Suspend schedules, or let them continue, and report each."""
    from aether_protocol.cli.instants import now_us
    from aether_protocol.cli.render.schedules import next_text, print_switched

    meant = [full_name(name, namespace) for name in names]
    done = ask(store, lambda client: client.schedules.suspend(meant, suspend=suspend), writes=True)
    if as_json:
        print_switched(done)
        return
    for schedule, changed in [(one.schedule, one.changed) for one in done]:
        name = printable(called(schedule))
        if suspend:
            click.echo(f"{name} is suspended" + ("" if changed else " already"))
        else:
            click.echo(f"{name} {'is resumed' if changed else 'was not suspended'}: next {next_text(schedule, now_us())}")
