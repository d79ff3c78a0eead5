"""Documents over HTTP: applied by what they call themselves, found by their names, compared and removed."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from litestar import Controller, Request, Response, delete, get, post
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import to_builtins

from aether_protocol.server.access import AUTHOR, VIEWER
from aether_protocol.server.answers import NOT_CHANGED, answers, tagged
from aether_protocol.server.runs import Asked
from aether_protocol.service.documents.as_json import by_document, marked_json
from aether_protocol.service.documents.changes import KINDS, difference
from aether_protocol.service.documents.parameters import WorkflowParameters
from aether_protocol.service.wire.documents import (
    AppliedBody,
    ApplyBody,
    DifferenceBody,
    DocumentBody,
    DocumentPage,
    MarksBody,
    RemoveBody,
    RemovedBody,
    ValidateBody,
    ValidityBody,
    read_checked,
    read_page,
    read_texts,
    removed_json,
    text_json,
    validity_json,
    whole_applied_json,
    whole_mark_json,
    write_page,
)
from aether_protocol.service.wire.requests import read_libraries
from aether_protocol.service.wire.runs import MOST_LISTED

Namespace = Annotated[FromPath[str], "its namespace"]
Document = Annotated[FromPath[str], "its name"]
Kind = Annotated[str | None, QueryParameter(description="Workflow or WorkflowTemplate; where a name is of both.")]
Version = Annotated[int | None, QueryParameter(ge=1, description="The number of a version; the newest where left out.")]

_UNKNOWN = (404,)
_ONE = "/{namespace:str}/{document:str}"


class DocumentController(Controller):
    """What can be asked of documents."""

    path = "/v1/documents"
    tags: ClassVar[list[str]] = ["documents"]  # type: ignore[misc]

    @post(
        "/",
        status_code=200,
        summary="Apply documents, all or none",
        opt=AUTHOR,
        responses=answers((200, AppliedBody, "What became of each, or would."), problems=(409, 413, 422)),
    )
    async def apply(self, data: JSONBody[ApplyBody], client: Asked) -> dict[str, Any]:
        done = await client.documents.apply(
            read_texts(data.documents),
            kinds=KINDS if data.kinds is None else data.kinds,
            library=read_libraries(data.library),
            replaces=data.replace,
            dry_run=data.dry_run,
        )
        return whole_applied_json(done)

    @get("/", summary="List documents", opt=VIEWER, responses=answers((200, DocumentPage, "Newest versions, by name.")))
    async def list_documents(
        self,
        client: Asked,
        kind: Kind = None,
        namespace: Annotated[str | None, QueryParameter(description="Only of this namespace.")] = None,
        texts: Annotated[bool, QueryParameter(description="With their texts.")] = False,
        limit: Annotated[int, QueryParameter(ge=1, le=MOST_LISTED, description="How many to a page.")] = 50,
        page: Annotated[str | None, QueryParameter(description="`next` of the page before.")] = None,
    ) -> dict[str, Any]:
        found = await client.documents.list(kind, namespace, after=read_page(page), limit=limit + 1)
        marks = by_document(await client.documents.marks())
        listed = [{**marked_json(one, marks), **({"text": one.text} if texts else {})} for one in found[:limit]]
        return {"documents": listed, "next": write_page(found[limit - 1]) if len(found) > limit else None}

    @get(
        "/folder",
        summary="Read what became of the folder that the server follows",
        opt=VIEWER,
        responses=answers((200, MarksBody, "A mark for each document, and for each file that cannot be read.")),
    )
    async def folder(self, client: Asked) -> dict[str, Any]:
        return {"files": [whole_mark_json(one) for one in await client.documents.marks()]}

    @post(
        "/remove",
        status_code=200,
        summary="Remove documents, all or none",
        opt=AUTHOR,
        responses=answers((200, RemovedBody, "What was removed."), problems=(404, 409)),
    )
    async def remove_several(self, data: JSONBody[RemoveBody], client: Asked) -> dict[str, Any]:
        return removed_json(await client.documents.remove(data.names, kind=data.kind, force=data.force))

    @get(
        _ONE,
        summary="Read a document",
        opt=VIEWER,
        responses=answers((200, DocumentBody, "The version; its digest is the ETag."), NOT_CHANGED, problems=_UNKNOWN),
    )
    async def read(
        self,
        *,
        namespace: Namespace,
        document: Document,
        client: Asked,
        request: Request[Any, Any, Any],
        kind: Kind = None,
        version: Version = None,
        digest: Annotated[str | None, QueryParameter(description="The digest of a version, or its beginning.")] = None,
    ) -> Response[Any]:
        found = await client.documents.get(f"{namespace}/{document}", kind=kind, version=version, digest=digest)
        return tagged(request, found.digest, text_json(found), "no-cache")

    @get(
        f"{_ONE}/versions",
        summary="List all versions of a document",
        opt=VIEWER,
        responses=answers((200, DocumentPage, "With their texts, the newest first."), problems=_UNKNOWN),
    )
    async def versions(
        self, namespace: Namespace, document: Document, client: Asked, kind: Kind = None
    ) -> dict[str, Any]:
        found = await client.documents.versions(f"{namespace}/{document}", kind=kind)
        return {"documents": [text_json(one) for one in found], "next": None}

    @get(
        f"{_ONE}/diff",
        summary="Compare two versions of a document",
        opt=VIEWER,
        responses=answers((200, DifferenceBody, "How they differ."), problems=_UNKNOWN),
    )
    async def diff(
        self,
        *,
        namespace: Namespace,
        document: Document,
        client: Asked,
        before: Annotated[int, QueryParameter(ge=1, description="The number of a version.")],
        after: Annotated[int | None, QueryParameter(ge=1, description="That of the other; the newest if left out.")] = None,
        kind: Kind = None,
    ) -> dict[str, Any]:
        name = f"{namespace}/{document}"
        old = await client.documents.get(name, kind=kind, version=before)
        new = await client.documents.get(name, kind=kind, version=after)
        names = f"{name}@{old.version}", f"{name}@{new.version}"
        lines = list(difference((names[0], old.text), (names[1], new.text)))
        return {"before": names[0], "after": names[1], "difference": lines}

    @get(
        f"{_ONE}/parameters",
        summary="Read what a stored Workflow takes",
        opt=VIEWER,
        responses=answers((200, WorkflowParameters, "Its parameters, in its order."), problems=(404, 422)),
    )
    async def takes(
        self, namespace: Namespace, document: Document, client: Asked, version: Version = None
    ) -> dict[str, Any]:
        told: dict[str, Any] = to_builtins(await client.documents.parameters(f"{namespace}/{document}", version=version))
        return told

    @delete(
        _ONE,
        status_code=200,
        summary="Remove a document with all of its versions",
        opt=AUTHOR,
        responses=answers((200, RemovedBody, "What was removed."), problems=(404, 409)),
    )
    async def remove(
        self,
        namespace: Namespace,
        document: Document,
        client: Asked,
        kind: Kind = None,
        force: Annotated[bool, QueryParameter(description="Also what documents and schedules refer to.")] = False,
    ) -> dict[str, Any]:
        return removed_json(await client.documents.remove([f"{namespace}/{document}"], kind=kind, force=force))


@post(
    "/v1/validate",
    status_code=200,
    tags=["documents"],
    summary="Check documents, and keep nothing",
    opt=VIEWER,
    responses=answers((200, ValidityBody, "All that was found, also where that is nothing."), problems=(413,)),
)
async def validate(data: JSONBody[ValidateBody], client: Asked) -> dict[str, Any]:
    """Check documents as a submission does, against what this server and its workers have."""
    found = await client.documents.check(read_checked(data), library=read_libraries(data.library), strict=data.strict)
    return validity_json(found)
