"""`aether ui`: the dashboard on the store of this folder, for who sits here."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

from msgspec import Struct

from aether_protocol.cli.command import command_with, option
from aether_protocol.cli.configured import configuration, configured
from aether_protocol.cli.exits import FINE
from aether_protocol.cli.options import HostingOptions
from aether_protocol.cli.render.journal import JournalEntry, pages_ended_entry, pages_entry
from aether_protocol.cli.terminal import messages
from aether_protocol.cli.value_types import Number

if TYPE_CHECKING:
    from aether_protocol.server.hosting.host import ServerHost

EPILOG = """\b
Examples:
  aether ui
  aether ui --no-browser --http-port 8080
  aether ui --store sqlite:/data/aether.db

It shows what 'aether run', 'cron' and others do with the same store, while they do it: their runs are cancelled, answered and
retried by way of the store. Runs that are started on its pages are carried out here, and so are those that
no process drives from when they are answered or cancelled here. It takes no others over and starts nothing that is due on
schedules: 'aether serve' does. It answers this machine alone.

On SIGINT, SIGTERM and SIGHUP tasks of its own runs get --grace seconds to end; what is still open is named, and
'aether resume' continues it. The exit code is 0."""

_PORT = 7234
_TRIED = 50  # ports, from the first one on


class UiOptions(Struct, frozen=True, kw_only=True):
    """What `aether ui` takes."""

    http_port: Annotated[
        int | None,
        option("--http-port", type=Number(0, 65_535), metavar="PORT",
               help="By default 7234, or the next free one; 0 takes any free one. The address is printed."),
    ] = None
    browser: Annotated[
        bool, option("--browser/--no-browser", default=True, help="Open the pages in the browser, where there is a screen.")
    ] = True
    token: Annotated[
        str | None,
        option("--token", envvar="AETHER_SERVER_TOKEN", metavar="TOKEN",
               help="Ask for it at the login, so that other users of this machine cannot use the pages. AETHER_SERVER_TOKEN "
                    "keeps it out of lists of processes."),
    ] = None
    concurrency: Annotated[
        int | None,
        option("--concurrency", type=Number(1), metavar="N", callback=configured("concurrency.attempts"),
               help="At most N tasks at once of runs that are started here; by default one for each processor."),
    ] = None
    grace: Annotated[
        float,
        option("--grace", type=Number(0, 86_400, fraction=True), default=10, show_default=True, metavar="SECONDS",
               help="How long tasks of these runs may continue after a signal."),
    ] = 10
    hosting: HostingOptions


@command_with(UiOptions, "ui", epilog=EPILOG)
def command(options: UiOptions) -> int:
    """Show the runs of this folder in a browser: their graphs, times, logs and outputs, while they happen.

    Cancel, answer and retry them, and start new ones.
    """
    from aether_protocol.assembly.broker_urls import LOCAL
    from aether_protocol.cli.schedules import store_option_text
    from aether_protocol.cli.serving import Manner, require_server, serve

    require_server("aether ui")
    from aether_protocol.server.hosting.settings import HostSettings

    hosting = options.hosting
    broker = None if hosting.broker == LOCAL else hosting.broker
    settings = HostSettings(
        port=_PORT if options.http_port is None else options.http_port,
        ports=_TRIED if options.http_port is None else 1,
        token=options.token,
        slots={} if options.concurrency is None else {"tasks": options.concurrency},
        broker=broker,
        workers=broker is None,
        cron=False,
        adopts=False,
        grace_s=options.grace,
        metrics=False,
        hidden=("PGPASSWORD",) if hosting.store.startswith("postgres") else (),
        secrets=hosting.secrets,
        workspaces=hosting.workspaces,
        configuration=configuration(),
    )
    more = store_option_text(hosting.store)
    manner = Manner(
        started=lambda host: _started(hosting.store, host),
        ended=lambda left: pages_ended_entry(left, more),
        ready=_open_browser if options.browser and _has_screen() else lambda url: None,
    )
    serve(hosting, settings, manner)
    return FINE


def _started(store: str, host: ServerHost) -> JournalEntry:
    for row in host.ownership.servers:
        messages.note(f"a server drives runs of this store, and has pages of its own: {row.address}")
    return pages_entry(host.url, store)


def _has_screen() -> bool:
    """Whether a browser has somewhere to open: one that runs in this terminal would take it away."""
    if "BROWSER" in os.environ or sys.platform in ("darwin", "win32"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _open_browser(url: str) -> None:
    import threading
    import webbrowser

    # In a thread: some programs that open browsers return once the browser has ended.
    threading.Thread(target=webbrowser.open, args=(url,), name="aether-browser", daemon=True).start()
