"""What an executor type declares about itself: its config, its outputs, and where and with what it runs (SPEC-15, EXEC).

A declaration is data: the checks, `aether executors`, the docs, the schema for editors and the executor itself read the same
one. A config is declared as a table of fields, the short way, or as a JSON Schema of any depth (`of_schema`, `of_model`); the
table of a schema is made from it, for people and for the spelling of scalars, and the schema alone decides. Text that
holds a placeholder fits every place of a config and is checked again, resolved, at dispatch.
"""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, Protocol, cast

from msgspec import Struct

from aether_protocol.expressions.values import Json
from aether_protocol.plan.config_fields import ConfigField
from aether_protocol.plan.schema_fields import fields_of

_NO_WORD: Final = "[^A-Z0-9]"

Site = Literal["worker", "engine"]


class OutputField(Struct, frozen=True, gc=False):
    """An output that an executor may give."""

    name: str
    type: str
    description: str


class ExecutorType(Struct, frozen=True, gc=False):
    """An executor type as registered under the entry-point group `aether.executors`.

    `open_config`: config fields that are not listed are allowed; `open_outputs`: outputs beyond the listed ones, too.
    `files`: `valueFrom.path` on an output names a file (script, process). `schema`: the config as a JSON Schema. `site`: where
    attempts are carried out, by a worker behind the broker or by the engine itself, without a slot (RT-122). `version` is that
    of what it does, for people and for workers of different builds. `modules` are what it imports beyond this package and its
    own; `install` says what to install where one of them is missing (`pip install 'aether-protocol[http]'`). `disabled` says by
    what it is turned off here, `broken` why what is installed under this name cannot be used (then `install` says what mends
    it); both are empty where that is not so. `alternatives` are other declarations under this name: a config
    has to fit this one, or one of them.
    """

    name: str
    description: str
    config: tuple[ConfigField, ...] = ()
    outputs: tuple[OutputField, ...] = ()
    open_config: bool = False
    open_outputs: bool = False
    files: bool = False
    schema: Mapping[str, Json] | None = None
    site: Site = "worker"
    version: str = "1"
    modules: tuple[str, ...] = ()
    install: str = ""
    disabled: str = ""
    broken: str = ""
    alternatives: tuple[ExecutorType, ...] = ()

    @classmethod
    def of_schema(cls, name: str, description: str, schema: Mapping[str, Json], **more: Any) -> ExecutorType:
        """A type whose config is declared by a JSON Schema (2020-12) of an object.

        Args:
            name: The type, as documents write it.
            description: What it does, in one sentence or two.
            schema: The schema. References go into it alone (`#/$defs/...`). The formats `aether-duration` (`30s`) and
                `aether-size` (`512Mi`) are checked, others are not.
            more: The other fields of an ExecutorType, by name.
        """
        return cls(name, description, fields_of(schema), schema=schema, **more)

    @classmethod
    def of_model(cls, name: str, description: str, model: SchemaModel, **more: Any) -> ExecutorType:
        """Declare a type whose config is described by a model.

        Args:
            name: as documents write it.
            description: one sentence for `aether executors`.
            model: a pydantic model, or any class with a `model_json_schema()`.
            more: the other fields of an ExecutorType, by name.
        """
        return cls.of_schema(name, description, model.model_json_schema(), **more)


class SchemaModel(Protocol):
    """What declares itself as a JSON Schema: a pydantic model class."""

    def model_json_schema(self) -> dict[str, Any]: ...


ExecutorTypes = Mapping[str, ExecutorType]


class DeclaredTypes(Mapping[str, ExecutorType]):
    """Types that workers declare, beside those that are known anyway, which win.

    Args:
        known: for every document.
        everywhere: those of workers that serve all namespaces.
        by_namespace: those of workers that serve some; there they count before those of the same name everywhere.
    """

    def __init__(
        self, known: ExecutorTypes, everywhere: ExecutorTypes, by_namespace: Mapping[str, ExecutorTypes]
    ) -> None:
        self._known = known
        self._types = ChainMap[str, ExecutorType](cast("Any", known), cast("Any", everywhere))
        self._by_namespace = by_namespace

    def within(self, namespace: str) -> ExecutorTypes:
        """Return the types for documents of a namespace."""
        own = self._by_namespace.get(namespace)
        if own is None:
            return self._types
        known, everywhere = self._types.maps
        return ChainMap[str, ExecutorType](known, cast("Any", own), everywhere)

    def __getitem__(self, name: str) -> ExecutorType:
        return self._types[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._types)

    def __len__(self) -> int:
        return len(self._types)


def types_within(types: ExecutorTypes, namespace: str) -> ExecutorTypes:
    """Return the types of these that documents of a namespace may name."""
    return types.within(namespace) if isinstance(types, DeclaredTypes) else types


def input_variable(name: str) -> str:
    """The environment variable in which a program finds the input `name` (DOC-4, EXEC-3)."""
    return f"AETHER_INPUT_{re.sub(_NO_WORD, '_', name.upper())}"
