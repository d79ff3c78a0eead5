"""From a CronWorkflow document to a schedule that can be applied (CRON-6, TMPL-2).

Law: what a schedule runs is resolved here, once; nothing is stored of a document that has faults.
"""

from __future__ import annotations

import hashlib
import json

from msgspec.structs import replace

from aether_protocol.assembly.documents import load_with
from aether_protocol.assembly.workspace import DocumentWorkspace, Readable, choose, folder_of
from aether_protocol.compiler.schedule_settings import cron_settings
from aether_protocol.documents.load import LoadedDocument
from aether_protocol.documents.models import CronWorkflow
from aether_protocol.engine.schedules import ScheduleSpec
from aether_protocol.errors import UsageError
from aether_protocol.plan.model import Plan
from aether_protocol.ports.store import Store


def schedule_spec(document: LoadedDocument, plan: Plan) -> ScheduleSpec:
    """What `engine.schedules.apply` takes. `plan` is the document's, compiled without faults."""
    model = document.model
    if not isinstance(model, CronWorkflow):
        raise UsageError(f"{document.name!r} is a {document.kind}, not a CronWorkflow")
    text = json.dumps(plan.snapshot["workflow"], ensure_ascii=False, separators=(",", ":"))
    settings = replace(cron_settings(model), folder=folder_of(document.file))
    return ScheduleSpec(plan.namespace, plan.name, settings, spec_digest(document), text, plan)


async def find_schedule_spec(workspace: DocumentWorkspace, document: Readable, store: Store, name: str | None) -> ScheduleSpec:
    """What a document is to be applied as; templates are looked up in the workspace, then in `store`. `name`: which of several.

    Raises DocumentError with all diagnostics, UsageError where it is not clear which document is meant, or it is not a
    CronWorkflow.
    """
    file = await load_with(workspace, document, store)
    plan = workspace.plan(file, name)
    chosen = choose(file, name, "name")
    assert chosen is not None  # or there were no plan
    return schedule_spec(chosen, plan)


def spec_digest(document: LoadedDocument) -> str:
    """The sha256, in hex, of the workflowSpec as it is written; order, comments and layout do not count."""
    spec = document.tree["spec"]["workflowSpec"]
    text = json.dumps(spec, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
