"""The artifacts of a run: what its tasks left, and what they fetched from sources (ART-1, ART-2).

Law: pure, from the run's state. What a dag passes on stands at the task that made it. Whether a content is still kept, the
repository has to be asked: here all of them count as kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from posixpath import basename
from typing import Any, Literal

from msgspec import Struct

from aether_protocol.ports.executor import SUMMARY
from aether_protocol.scheduler.nodes import HookNode, TaskNode
from aether_protocol.scheduler.state import RunState
from aether_protocol.views.report import hook_name, in_order


class RunArtifact(Struct, frozen=True, gc=False):
    """An artifact of a run.

    Attributes:
        task: the path of the task run that it is of; of a hook its name.
        kind: `output`: the task left it; `fetched`: it came from a source for the task.
        name: what it is called there.
        file: a name for a file with its content.
        digest: of the content, `sha256:` and 64 hexadecimal digits.
        size: of the content, in bytes.
        archive: none, tar, tar.gz or zip: what the content is.
        kept: whether the content is still there.
    """

    task: str
    kind: Literal["output", "fetched"]
    name: str
    file: str
    digest: str
    size: int
    archive: str
    kept: bool = True


def artifacts_of_run(state: RunState) -> list[RunArtifact]:
    """List the artifacts of a run, in document order, those of hooks last."""
    found = [one for node, path, _ in in_order(state) if isinstance(node, TaskNode) for one in _of_node(node, path)]
    for hook in state.hook_nodes:
        found.extend(_of_node(hook, hook_name(hook)))
    return found


def summary_of(state: RunState, path: str) -> str | None:
    """The digest of what the task run at `path` had to say to people (RT-158); None: nothing."""
    node = state.find(path)
    record = None if node is None else node.artifacts.get(SUMMARY)
    return str(record["digest"]) if isinstance(record, Mapping) and "digest" in record else None


def _of_node(node: TaskNode | HookNode, path: str) -> Iterator[RunArtifact]:
    for name, value in node.artifacts.items():
        if name != SUMMARY and isinstance(value, Mapping) and "digest" in value:
            yield RunArtifact(path, "output", name, _file(name, value, _path_of(node, name)), *_content(value))
    for name, value in node.input_artifacts.items():
        fetched = value.get("fetched") if isinstance(value, Mapping) else None
        if isinstance(fetched, Mapping) and "digest" in fetched:
            yield RunArtifact(path, "fetched", name, _file(name, fetched, None), *_content(fetched))


def _content(record: Mapping[str, Any]) -> tuple[str, int, str]:
    """Digest, size and archive of a content."""
    return str(record["digest"]), int(record.get("size") or 0), str(record.get("archive") or "none")


def _file(name: str, record: Mapping[str, Any], path: str | None) -> str:
    """A name for the file: that of where it lay, with the archive's ending."""
    file, archive = basename(path or "") or name, str(record.get("archive") or "none")
    return file if archive == "none" or file.endswith(f".{archive}") else f"{file}.{archive}"


def _path_of(node: TaskNode | HookNode, name: str) -> str | None:
    """Where the task left it, in its workspace."""
    return next((one.path for one in node.target.artifacts if one.name == name), None)
