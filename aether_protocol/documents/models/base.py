"""What all structs of documents have in common: which of their fields a document wrote, and copies with other values.

Law: a struct is immutable and holds JSON values, so that nothing of it can be part of a cycle (gc=False).
"""

from __future__ import annotations

from typing import Any, ClassVar, Final, Protocol, Self

from msgspec import UNSET, Struct
from msgspec.structs import replace

ALIASES: Final[dict[str, str]] = {"int": "integer", "float": "number", "bool": "boolean"}  # DOC-9


class Part(Struct, frozen=True, kw_only=True, gc=False, rename="camel"):
    """Base of all structs: camelCase in documents and snake_case in Python.

    `presence`: fields of which it matters whether they were written, though they have a default. Each is kept as it was written
    in `FIELD_written`, where UNSET means that it was not; `FIELD` itself is a property that knows the default.
    """

    presence: ClassVar[tuple[str, ...]] = ()

    def wrote(self, name: str) -> bool:
        """Whether the document wrote the field `name`, which is one of `presence` or None where it was not written."""
        return getattr(self, f"{name}_written") is not UNSET if name in self.presence else getattr(self, name) is not None

    def changed(self, **values: Any) -> Self:
        """A copy with other values, by attribute."""
        return replace(self, **{f"{name}_written" if name in self.presence else name: value for name, value in values.items()})


class _Typed(Protocol):
    @property
    def type(self) -> str: ...


class TypedPart(Part, frozen=True, kw_only=True):
    """A part whose `type` is one of those of parameters."""

    @property
    def resolved_type(self: _Typed) -> str:
        """`type` without the short spellings (DOC-9)."""
        return ALIASES.get(self.type, self.type)
