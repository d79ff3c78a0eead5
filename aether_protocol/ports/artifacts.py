"""The artifact ports (ART): a repository that keeps content by digest, and sources that fetch from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol, cast

from msgspec import Struct

from aether_protocol.errors import PortError
from aether_protocol.expressions.values import Json
from aether_protocol.ports.secrets import DEFAULT_NAMESPACE

if TYPE_CHECKING:
    from aether_protocol.plan.config_fields import ConfigField
    from aether_protocol.plan.model import ArtifactOutput


class KeptArtifact(Struct, frozen=True):
    """A content of a repository. `put_at`: when it was given last, in microseconds since the epoch."""

    digest: str
    size: int
    put_at: int


class AbsentError(PortError):
    """The source says that there is no such thing; with `optional: true` that is fine (ART-2)."""


class ArtifactRepository(Protocol):
    """Content by digest. Blocking calls, made in a thread. Raises PortError.

    What it keeps is not kept apart by namespace: see `NamespacedRepository`.

    What collects the contents that no run names relies on this: a content that is put again counts as put now, also for a
    `delete` that is running, so that one of the two comes first.
    """

    def put(self, file: Path) -> tuple[str, int]:
        """Keep this file's content; gives (`sha256:<hex>`, size in bytes)."""
        ...

    def get(self, digest: str, target: Path) -> None:
        """Write the content to `target`, a file of its owner alone. An unknown or damaged digest is a PortError."""
        ...

    def open(self, digest: str) -> IO[bytes]:
        """Open the content to be read in pieces; its receiver checks the digest. An unknown digest is a PortError."""
        ...

    def renew(self, digest: str) -> int | None:
        """Count a content as put now; gives its size in bytes, None where it is not there."""
        ...

    def sound(self, digest: str) -> bool:
        """Whether a content is there and is what was put; reads all of it."""
        ...

    def kept(self) -> Iterator[KeptArtifact]:
        """Everything that is kept, in no order; what comes or goes meanwhile may be in it or not."""
        ...

    def delete(self, digest: str, before: int) -> bool:
        """Forget a content that was put last before the instant `before`; False where it was put since, or is not there."""
        ...

    def tidy(self, before: int) -> None:
        """Remove what calls that were cut off before the instant `before` have left behind."""
        ...


class NamespacedRepository(ArtifactRepository, Protocol):
    """A repository with a part for each namespace (RT-140); it is itself that of `default`.

    A content that was put in one part is not in another: it cannot be got, renewed, listed or deleted there, and is put there
    as if it had never been. A namespace is 1 to 63 letters, digits, dots, hyphens and underscores, also `..`.
    """

    def within(self, namespace: str) -> ArtifactRepository:
        """The part of a namespace; of `default` the repository itself."""
        ...

    def namespaces(self) -> Iterable[str]:
        """The namespaces that may have a content, `default` among them."""
        ...


class OwnedRepository(ArtifactRepository, Protocol):
    """A repository that knows which stores name what it keeps: what one of them does not name may be another one's."""

    def claim(self, store: str) -> Sequence[str]:
        """Note that the runs of a store, by its name (none: of none), name what is kept here; gives where others are noted."""
        ...


def others_of(repository: ArtifactRepository, store: str) -> Sequence[str]:
    """Note a store at a repository that is asked to keep them (`OwnedRepository.claim`). Raises PortError."""
    return cast("OwnedRepository", repository).claim(store) if hasattr(repository, "claim") else ()


def part_of(repository: ArtifactRepository, namespace: str) -> ArtifactRepository:
    """Return where a repository keeps the contents of a namespace: itself, where it keeps no namespaces apart."""
    if namespace == DEFAULT_NAMESPACE or not keeps_apart(repository):
        return repository
    return cast("NamespacedRepository", repository).within(namespace)


def keeps_apart(repository: ArtifactRepository) -> bool:
    """Whether a repository has a part for each namespace."""
    return hasattr(repository, "within")


class ArtifactFetcher(Protocol):
    """A type of `source` (SPEC-6): `http`, `local`, `raw`, `git`."""

    @property
    def name(self) -> str: ...

    @property
    def config(self) -> tuple[ConfigField, ...]: ...

    def fetch(self, config: Mapping[str, Json], target: Path, origin: str | None = None) -> str | None:
        """Bring the file or folder to `target`; relative paths mean `origin`, the folder of the document. Gives the revision
        that it was, where the source has such. Raises PortError, AbsentError where the source is there and lacks it."""
        ...


class Stager(Protocol):
    """Puts artifacts where executors work, and keeps what they leave there. What carries out attempts has one.

    Blocking calls, made in a thread. Raises PortError whose message names the artifact.
    """

    def within(self, namespace: str) -> Stager:
        """The same, for artifacts of runs of this namespace."""
        ...

    def bring(self, artifacts: Mapping[str, Json], folder: Path, scratch: Path, origin: str | None) -> Mapping[str, Json]:
        """Lay each input artifact down, unpacked, at its `path` below `folder` (ART-2); one without a path is only passed on.

        Values are {name, path, archive} with `digest` and `size`, or with `source` {type, config} and, where it was fetched
        before, `fetched`; with `optional` a source need not have it. Gives what was fetched now: {name: {digest, size}}, of git
        with `commit`. `scratch` is a folder for
        what lies about meanwhile, `origin` the folder of the document, if it has one: relative paths of sources mean that.
        """
        ...

    def renew(self, fetched: Mapping[str, Json]) -> None:
        """Count what `bring` gave as put now: as long as the attempt runs, no run names it."""
        ...

    def keep(self, outputs: Sequence[ArtifactOutput], folder: Path, scratch: Path) -> dict[str, Json]:
        """Keep what lies at each output's `path` below `folder` (ART-1): {name: {name, digest, size, archive}}."""
        ...
