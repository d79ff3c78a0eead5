"""What can be asked of runs, schedules and libraries: the application's rules, for the command line, a server and embedders.

Theory of operation. An engine drives runs; this package answers for them, whichever process drives them. It reads rows,
records and snapshots of a store, or asks the engine that holds a run through the store's mailbox; it holds no lease of its
own unless it is given an engine. Values go in and come out as plain structs, so that the same questions can be asked over a
wire. Nothing here knows a terminal, prints, exits or reads the environment: what is shown, and with which exit code a
process ends, is decided by the caller.

Map: `client` says what can be asked, as Protocols, `local/` answers over a store in this process, `remote/` over HTTP (here
`--server` turns into requests), and `blocking` does so for code without an event loop; `feed` is what comes piece by piece,
`wire/` the bodies and errors that server and remote client share. `access/` holds tokens, roles, the audit, and the client that
answers for one caller's namespaces. `runs/` finds, names, inspects and deletes single runs; `documents/`
applies, finds and removes documents of every kind; `schedules/` switches, backfills and explains schedules; `archive` writes
a run to a file and reads it back; `store_check` looks for faults; `dead_owners` releases what ended processes hold;
`process_identity` tells one process from another; `run_host` drives runs of schedules side by side; `file_metrics` writes
`--metrics-file`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aether_protocol.service.blocking import BlockingClient as BlockingClient
    from aether_protocol.service.blocking import connect_blocking as connect_blocking
    from aether_protocol.service.client import Client as Client
    from aether_protocol.service.client import DocumentControl as DocumentControl
    from aether_protocol.service.client import PlanReader as PlanReader
    from aether_protocol.service.client import RunControl as RunControl
    from aether_protocol.service.client import RunInspector as RunInspector
    from aether_protocol.service.client import RunReader as RunReader
    from aether_protocol.service.client import ScheduleControl as ScheduleControl
    from aether_protocol.service.client import StoreControl as StoreControl
    from aether_protocol.service.documents.texts import DocumentText as DocumentText
    from aether_protocol.service.documents.texts import LibraryTexts as LibraryTexts
    from aether_protocol.service.documents.texts import RecordedPlan as RecordedPlan
    from aether_protocol.service.documents.texts import StoredWorkflow as StoredWorkflow
    from aether_protocol.service.local import DocumentContext as DocumentContext
    from aether_protocol.service.local import client_of as client_of
    from aether_protocol.service.local import connect as connect
    from aether_protocol.service.runs.extracts import RunExtracts as RunExtracts

_HOMES = {
    "BlockingClient": "blocking",
    "Client": "client",
    "DocumentContext": "local",
    "DocumentControl": "client",
    "DocumentText": "documents.texts",
    "LibraryTexts": "documents.texts",
    "PlanReader": "client",
    "RecordedPlan": "documents.texts",
    "RunControl": "client",
    "RunExtracts": "runs.extracts",
    "RunInspector": "client",
    "RunReader": "client",
    "ScheduleControl": "client",
    "StoreControl": "client",
    "StoredWorkflow": "documents.texts",
    "client_of": "local",
    "connect": "local",
    "connect_blocking": "blocking",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
