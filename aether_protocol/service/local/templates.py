"""Templates of a store (`client.TemplateControl`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aether_protocol.assembly.templates import KIND, check_templates, dependents, put_templates
from aether_protocol.expressions.values import Json
from aether_protocol.ports.store import StoredDocument
from aether_protocol.service.documents import AppliedTemplates, DocumentText, LibraryTexts, RemovedTemplates, left_alone
from aether_protocol.service.library import choose_version, find_versions, read_template_name, read_whole_name, remove_templates
from aether_protocol.service.local.context import ClientContext


class LocalTemplates:
    """See `client.TemplateControl`."""

    def __init__(self, context: ClientContext) -> None:
        self._context = context

    async def put(
        self, documents: Mapping[str, Json] | str | Sequence[DocumentText], *, library: Sequence[LibraryTexts] = ()
    ) -> AppliedTemplates:
        workspace, files = self._context.take(documents, library)
        workspace.put_together(files)
        await self._context.reach(workspace, files)
        templates, warnings = check_templates(workspace, files)
        applied = await put_templates(self._context.store, templates, self._context.clock.wall())
        others = [one for file in files for one in file.documents if one.kind != KIND]
        return AppliedTemplates(applied, left_alone(others), warnings)

    async def get(self, name: str, *, version: int | None = None, digest: str | None = None) -> StoredDocument:
        namespace, plain, named = read_template_name(name, None)
        versions = await find_versions(self._context.store, namespace, plain)
        return choose_version(versions, named if version is None else version, digest)

    async def list(self, namespace: str | None = None) -> Sequence[StoredDocument]:
        return await self._context.store.library.newest(KIND, namespace)

    async def versions(self, name: str) -> Sequence[StoredDocument]:
        namespace, plain, _ = read_template_name(name, None)
        return await find_versions(self._context.store, namespace, plain)

    async def remove(self, names: Sequence[str]) -> RemovedTemplates:
        keys = list(dict.fromkeys(read_whole_name(name) for name in ([names] if isinstance(names, str) else names)))
        removed, left = await remove_templates(self._context.store, keys)
        return RemovedTemplates(removed, list(dependents(left, removed)))
