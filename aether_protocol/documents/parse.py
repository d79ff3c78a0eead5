"""Text to trees (DOC-1): JSON where it is JSON, YAML otherwise.

Law: whatever the bytes, what comes back are trees of JSON values with places, and faults; nothing is raised.
"""

from __future__ import annotations

from aether_protocol.documents.source import DocumentLimits, Source, TooManyFaultsError, open_source
from aether_protocol.documents.tree import DocumentTree, StopReadingError


def parse(data: bytes, file: str, limits: DocumentLimits) -> tuple[Source, list[DocumentTree]]:
    """The documents of a file, without the empty ones; faults are in the source."""
    source, readable = open_source(data, file, limits)
    if not readable:
        return source, []
    try:
        trees = [tree for tree in _read(source, limits) if tree.root is not None]
    except TooManyFaultsError:
        return source, []
    if not trees and not source.faults:
        source.fault("AE103", 0, "the file holds no document", "a document begins with apiVersion: aether/v1")
    return source, trees


def _read(source: Source, limits: DocumentLimits) -> list[DocumentTree]:
    if source.text.lstrip()[:1] not in ("{", "["):
        return _yaml(source, limits)
    from aether_protocol.documents.json_text import JsonSyntaxError, read_json  # most documents are YAML

    try:
        return [read_json(source, limits)]
    except StopReadingError:
        return []
    except JsonSyntaxError as error:
        # Braces are YAML too: comments, several documents, unquoted keys. Only a file named .json must be JSON.
        json_faults, source.faults = source.faults, []
        trees = _yaml(source, limits)
        if source.file.endswith(".json") and any(fault.code == "AE101" for fault in source.faults):
            source.faults = json_faults
            source.note("AE101", error.at, "", f"this is not JSON: {error}", None)
        return trees


def _yaml(source: Source, limits: DocumentLimits) -> list[DocumentTree]:
    from aether_protocol.documents.yaml_text import read_yaml  # ruamel.yaml is slow to import and JSON needs none of it

    return read_yaml(source, limits)
