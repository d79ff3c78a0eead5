"""What a case file says, as data: cases, scripted attempts, what happens from outside, and what is wrong with a case.

Law: frozen values without behaviour. A case with `faults` is never run: it is an error, not a pass. Times are integer
microseconds; those of `drive` count from the submission.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from msgspec import Struct, field

from aether_protocol.documents.source import Source
from aether_protocol.documents.tree import DocumentTree
from aether_protocol.expressions.values import Json

Path = tuple[str | int, ...]
Action = Literal["resume", "cancel", "crash", "duplicate", "result", "retry"]
Locate = Callable[[Path], tuple[int, int]]
"""Line and column (from 1) of the nearest existing node on a path inside one YAML document of a case file."""


class CaseFault(Struct, frozen=True):
    """Something wrong with a case file, or a difference that its run showed. `line` counts from 1."""

    file: str
    line: int
    message: str
    hint: str | None = None

    def __str__(self) -> str:
        text = f"{self.file}:{self.line}: {self.message}"
        return f"{text} ({self.hint})" if self.hint else text


class DocumentSource(Struct, frozen=True):
    """Where a document comes from: a part of the case file's own tree, a file beside it, or bytes; one of the three.

    `path` is the field of the case that holds it (`("document",)`, `("library", 0)`).
    """

    path: Path
    inline: tuple[Source, DocumentTree] | None = None
    file: str | None = None
    data: bytes | None = None


class Match(Struct, frozen=True):
    """Which assignments a script is for; all given fields must fit. `path` may hold `*` for any text."""

    path: str | None = None
    task: str | None = None
    template: str | None = None
    type: str | None = None


class ScriptedAttempt(Struct, frozen=True):
    """What one dispatch of a task gives. `after_us` passes first; then it hangs, raises, or leaves `files` (texts by their
    paths in the workspace) and returns."""

    code: int = 0
    message: str = ""
    outputs: Mapping[str, Json] = field(default_factory=dict)
    after_us: int = 0
    files: Mapping[str, str] = field(default_factory=dict)
    hang: bool = False
    raises: str | None = None


class Script(Struct, frozen=True):
    """An entry of `executors`: dispatch n plays `attempts[n - 1]`, the last one repeats."""

    match: Match
    attempts: tuple[ScriptedAttempt, ...]
    path: Path = ()


class Drive(Struct, frozen=True):
    """An entry of `drive`. `refused`: None where it must be accepted, True or a text matcher where it must not be."""

    at_us: int
    action: Action
    argument: Json
    refused: Json
    path: Path


class SpecChange(Struct, frozen=True):
    """An entry of `cron.changes`: fields of the CronWorkflow's spec that are applied anew at `at_us`; `refused` as in Drive."""

    at_us: int
    fields: Mapping[str, Json]
    refused: Json
    path: Path


class Watching(Struct, frozen=True):
    """`cron`: for how long a schedule is watched, when no scheduler is there, how many there are, and what is changed."""

    until_us: int
    downtime: tuple[tuple[int, int], ...] = ()
    schedulers: int = 1
    changes: tuple[SpecChange, ...] = ()


class Case(Struct, frozen=True):
    """One case. `expect` is as written, checked field by field; `locate` finds lines for paths inside the case."""

    name: str
    file: str
    locate: Locate
    faults: tuple[CaseFault, ...] = ()
    rules: tuple[str, ...] = ()
    document: DocumentSource | None = None
    library: tuple[DocumentSource, ...] = ()
    arguments: Mapping[str, Json] = field(default_factory=dict)
    secrets: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    variables: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)
    limits: Mapping[str, int] = field(default_factory=dict)
    concurrency: int | None = None
    now_us: int = 0
    store: str = "memory"
    scripts: tuple[Script, ...] = ()
    drive: tuple[Drive, ...] = ()
    cron: Watching | None = None
    expect: Mapping[str, Json] = field(default_factory=dict)

    @property
    def line(self) -> int:
        return self.locate(("case",))[0]

    def fault(self, path: Path, message: str, hint: str | None = None) -> CaseFault:
        """A fault at `path` of this case."""
        return CaseFault(self.file, self.locate(path)[0], message, hint)


Outcome = Literal["passed", "failed", "error"]


class CaseResult(Struct, frozen=True):
    """How a case ended. `error`: the case itself is at fault (or we are); `detail` helps to see what the run did; `losses`
    counts the engines that were lost on the way, `sleeps` how often it came to rest with its run passivated."""

    case: Case
    outcome: Outcome
    faults: tuple[CaseFault, ...] = ()
    detail: str = ""
    seconds: float = 0.0
    losses: int = 0
    sleeps: int = 0
