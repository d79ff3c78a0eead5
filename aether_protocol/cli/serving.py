"""The process of `aether serve` and `aether ui`: signals, the journal, and its end.

Law: as in `cli.hosting`: the first signal lets nothing more be begun, the second ends the process at once; runs are left as
they are in the store, and the next server recovers them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

from msgspec import Struct

from aether_protocol.cli.configured import configuration, debugs
from aether_protocol.cli.exits import FINE
from aether_protocol.cli.options import HostingOptions
from aether_protocol.cli.process import freeze, leave, log_to
from aether_protocol.cli.render.journal import (
    Journal,
    JournalEntry,
    JournalHandler,
    entries_left_out,
    entry_of,
    stopping_entry,
)
from aether_protocol.cli.terminal import messages
from aether_protocol.cli.terminal.streams import apart
from aether_protocol.errors import UsageError
from aether_protocol.service.run_host import HostEvent

if TYPE_CHECKING:
    from aether_protocol.ports.store import Store
    from aether_protocol.server.hosting.host import ServerHost
    from aether_protocol.server.hosting.settings import HostSettings
    from aether_protocol.server.oidc.provider import OidcSettings

_EXTRA = ("litestar", "uvicorn", "httpx2")


def require_server(command: str) -> None:
    """Raise UsageError where the extra `[server]` is not installed."""
    missing = [name for name in _EXTRA if find_spec(name) is None]
    if missing:
        hint, verb = "pip install 'aether-protocol[server]'", "is" if len(missing) == 1 else "are"
        raise UsageError(f"'{command}' needs {', '.join(missing)}, which {verb} not installed", hint=hint)


def oidc_settings() -> OidcSettings | None:
    """Where people log in, as [oidc] and [auth.roles] say; None: with tokens alone. Raises UsageError."""
    from aether_protocol.assembly.configuration.sections import AuthSection, OidcSection

    given = configuration().section(OidcSection)
    if given.issuer is None:
        return None
    from aether_protocol.server.oidc.provider import OidcSettings
    from aether_protocol.server.oidc.roles import read_roles

    return OidcSettings(
        issuer=given.issuer,
        client_id=given.client_id or "",
        client_secret=given.client_secret,
        scopes=given.scopes,
        groups=given.groups,
        session_s=given.session,
        grants=read_roles(configuration().section(AuthSection).roles),
    )


class Manner(Struct, frozen=True, kw_only=True):
    """How a command reports its server.

    Args:
        started: makes the entry that says where it answers.
        ended: makes the last entry, of the ids of the runs that are left open.
        ready: called with the address once it answers.
    """

    started: Callable[[ServerHost], JournalEntry]  # type: ignore[name-defined,unused-ignore]
    ended: Callable[[Sequence[str]], JournalEntry]
    ready: Callable[[str], None] = lambda url: None


def serve(hosting: HostingOptions, settings: HostSettings, manner: Manner, *, tier: str | None = None) -> None:
    """Serve until a signal comes. Raises AetherError where the server cannot begin."""
    from aether_protocol.assembly import open_store

    store = open_store(hosting.store, durability=hosting.durability, tier=tier)
    freeze()
    with apart(entries_left_out if hosting.output == "events" else None):
        asyncio.run(_serve(hosting, settings, manner, store))


async def _serve(hosting: HostingOptions, settings: HostSettings, manner: Manner, store: Store) -> None:
    from aether_protocol.cli.schedules import store_option_text
    from aether_protocol.cli.terminal.prompt import interrupts
    from aether_protocol.engine.clock import WallClock
    from aether_protocol.server.gate import OFF_NOTE
    from aether_protocol.server.hosting.host import ServerHost

    now = WallClock().now
    leaving = asyncio.Event()
    journal = Journal(now, as_events=hosting.output == "events", quiet=messages.is_quiet())
    more = store_option_text(hosting.store)
    if not debugs():
        log_to(JournalHandler(now))

    def interrupted() -> None:
        if leaving.is_set():
            leave(FINE)
        leaving.set()

    def report(event: HostEvent) -> None:
        journal.tell(entry_of(event, more))

    with interrupts(interrupted):
        left: Sequence[str] = ()
        host = ServerHost(store, settings, report)
        await host.open()
        try:
            if host.access.is_off:
                messages.note(OFF_NOTE)
            journal.tell(manner.started(host))
            serving = asyncio.ensure_future(host.serve(leaving))
            manner.ready(host.url)
            waiting = asyncio.ensure_future(leaving.wait())
            await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            if leaving.is_set():
                journal.tell(stopping_entry(settings.grace_s if settings.workers else 0))
            await serving
            left = host.engine.driven.open_ids
        finally:
            await host.close()
        journal.tell(manner.ended(left))
