"""The definitions of `extensions` (EXT-1): what may be ignored without changing a result.

Law: each key is checked like a field wherever it stands; it acts once the part of the runtime that owns it is there. Keys with
a dot belong to others and are kept as they are.
"""

# No `from __future__ import annotations` here: pydantic would compile each annotation anew.

from typing import Annotated, ClassVar, Literal, Self

from pydantic import ConfigDict, model_validator
from pydantic_core import PydanticCustomError

from aether_protocol.documents.definitions.fields import Definition, Duration, Opt, Some, Whole, Word, doc

Occasion = Literal["success", "failure", "error", "timeout", "suspend", "cancel", "exit"]


class CacheSettings(Definition):
    """When the kept outputs of an earlier run of the same task are taken."""

    struct: ClassVar = ""

    key: Opt[Word] = doc("What the outputs are kept under, in place of the template and all inputs.", None)
    max_age: Opt[Duration] = doc("Outputs that are older are not taken.", None)
    scope: Literal["workflow", "namespace", "store"] = doc("Who shares the kept outputs.", "workflow")


class PlacementSettings(Definition):
    """Which workers may carry out what is beneath."""

    struct: ClassVar = ""

    pool: Opt[Word] = doc("Name of the pool of workers.", None)
    selector: Opt[Word] = doc("Labels that a worker must have, such as `region in (eu), gpu=a100`.", None)
    prefer: Opt[Word] = doc("Labels that a worker should have.", None)
    sticky: Opt[Literal["run"]] = doc("`run`: the same worker first for all tasks of a run.", None)
    wait_at_most: Opt[Duration] = doc("Longest time to wait for a worker.", None)
    redeliver: Literal["lease-end", "on-disconnect"] = doc("When a task of a lost worker is offered again.", "lease-end")


class NotifySettings(Definition):
    """Who is notified, and of what."""

    struct: ClassVar = ""

    to: Some[Word] = doc("Names of notifiers.")
    on: Opt[Some[Occasion]] = doc("Occasions to notify of; failure, error and timeout unless given.", None)


class RetentionSettings(Definition):
    """How long ended runs are kept."""

    struct: ClassVar = ""

    succeeded: Opt[Duration] = doc("Time after which a run that Succeeded is deleted.", None)
    failed: Opt[Duration] = doc("Time after which a run that ended otherwise is deleted.", None)


class UiSettings(Definition):
    """How it is shown to people."""

    struct: ClassVar = ""

    title: Opt[Word] = doc("Name to show.", None)
    description: Opt[str] = doc("Text to show beside it.", None)
    group: Opt[Word] = doc("Heading to list it under.", None)
    icon: Opt[Word] = doc("Name of an icon.", None)


class Extensions(Definition):
    """Settings that may be ignored without changing a result."""

    model_config = ConfigDict(extra="allow")
    dotted: ClassVar = True
    struct: ClassVar = ""

    concurrency: Opt[Annotated[int, Whole(1)]] = doc("Most attempts beneath it that are carried out at a time.", None)
    cache: Opt[CacheSettings] = doc("Take kept outputs in place of an attempt.", None)
    placement: Opt[PlacementSettings] = doc("The workers that may carry it out.", None)
    notify: Opt[NotifySettings] = doc("Notices to people.", None)
    retention: Opt[RetentionSettings] = doc("When ended runs are deleted.", None)
    ui: Opt[UiSettings] = doc("Texts for lists and pictures.", None)

    @model_validator(mode="after")
    def _check_others(self) -> Self:
        if any("." not in name for name in self.model_extra or ()):
            raise PydanticCustomError("extra", "a key that is not known has no dot")
        return self
