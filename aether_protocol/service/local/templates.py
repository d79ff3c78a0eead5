"""Templates of a store (`client.TemplateControl`)."""

from __future__ import annotations

from collections.abc import Sequence

from aether_protocol.assembly.documents import load_with
from aether_protocol.assembly.templates import KIND, Applied, check_templates, put_templates
from aether_protocol.ports.store import StoredDocument
from aether_protocol.service.library import choose_version, find_versions, read_template_name, remove_templates
from aether_protocol.service.local.context import ClientContext


class LocalTemplates:
    """See `client.TemplateControl`."""

    def __init__(self, context: ClientContext) -> None:
        self._context = context

    async def put(self, text: str) -> Sequence[Applied]:
        workspace = self._context.library.workspace()
        file = await load_with(workspace, text, self._context.store)
        workspace.put_together([file])
        templates, _ = check_templates(workspace, [file])
        return await put_templates(self._context.store, templates, self._context.clock.wall())

    async def get(self, name: str, digest: str | None = None) -> StoredDocument:
        namespace, plain, version = read_template_name(name, None)
        return choose_version(await find_versions(self._context.store, namespace, plain), version, digest)

    async def list(self, namespace: str | None = None) -> Sequence[StoredDocument]:
        return await self._context.store.library.newest(KIND, namespace)

    async def versions(self, name: str) -> Sequence[StoredDocument]:
        namespace, plain, _ = read_template_name(name, None)
        return await find_versions(self._context.store, namespace, plain)

    async def remove(self, name: str) -> StoredDocument:
        namespace, plain, _ = read_template_name(name, None)
        removed, _ = await remove_templates(self._context.store, [(namespace, plain)])
        return removed[0]
