"""What the definitions are made of: their base classes, the kinds of text and of numbers.

Law: what JSON Schema can express is a type here and reaches the published schema; the rest stands in models/rules.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, ClassVar, Final, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler, model_validator
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema
from typing_extensions import TypeAliasType

from aether_protocol.expressions.durations import PATTERN, ZERO_PATTERN, parse_duration

T = TypeVar("T")


class Definition(BaseModel):
    """Base of all definitions: strict, closed, frozen, camelCase in documents and snake_case in Python."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        alias_generator=to_camel,
        field_title_generator=lambda name, _info: name.rstrip("_").replace("_", " "),
        defer_build=True,
        protected_namespaces=(),
    )

    # Rules over which fields are given, by attribute: exactly one of these; one that needs others, or rules them out.
    one_of: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[dict[str, tuple[str, ...]]] = {}
    excludes: ClassVar[dict[str, tuple[str, ...]]] = {}
    # Fields of which it matters whether a document wrote them, though they have a default.
    presence: ClassVar[tuple[str, ...]] = ()
    # The base of the generated struct: one of those in models/base.py. Empty: it stays the mapping that it is.
    struct: ClassVar[str] = "Part"
    dotted: ClassVar[bool] = False  # whether keys with a dot are taken beside the fields

    @model_validator(mode="after")
    def _check(self) -> Self:
        given = self.model_fields_set
        if self.one_of and len(given.intersection(self.one_of)) != 1:
            raise PydanticCustomError("one_of", "exactly one of the alternatives is needed")
        for name, others in self.needs.items():
            if name in given and not given.issuperset(others):
                raise PydanticCustomError("needs", "a field that another one needs is missing")
        for name, others in self.excludes.items():
            if name in given and not given.isdisjoint(others):
                raise PydanticCustomError("excludes", "a field stands beside one that rules it out")
        return self


def alias_of(model: type[Definition], name: str) -> str:
    """How a document spells the attribute `name` of `model`."""
    return model.model_fields[name].alias or name


class _Given:
    """Marks an optional field that may be left out but not be null: `X | None` for Python, `X` for documents."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        schema: Any = handler(source)
        inner: CoreSchema = schema["schema"]  # of a nullable schema
        return inner


Opt = Annotated[T | None, _Given()]


class TextType:
    """A kind of text: a regular expression that means the same to Python, Rust and JavaScript, or a check in Python."""

    def __init__(self, title: str, pattern: str, check: Callable[[str], object] | None = None, **schema: Any) -> None:
        self.schema = {"title": title, "type": "string", "pattern": pattern, **schema}
        self._fullmatch = re.compile(pattern.removeprefix("^").removesuffix("$")).fullmatch
        self._check = check or self._grammar
        self._longest = schema.get("maxLength", 1 << 30)

    def _grammar(self, value: str) -> None:
        if not self._fullmatch(value) or len(value) > self._longest:
            raise ValueError(f"{value!r} is not {self.schema['title']}")

    def _validate(self, value: str) -> str:
        self._check(value)
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._validate, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return dict(self.schema)


_SPANS: Final = ["30s", "5m", "1h30m", "500ms"]
_SEMVER_PART: Final = "(0|[1-9][0-9]*)"
_SEMVER_TAIL: Final = "[0-9A-Za-z-]+(\\.[0-9A-Za-z-]+)*"
_CRON_FIELD: Final = "[0-9A-Za-z*,/-]+"

Name = TypeAliasType(
    "Name",
    Annotated[str, TextType("a DNS-1123 label", "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", minLength=1, maxLength=63)],
)
ValueName = TypeAliasType(
    "ValueName",
    Annotated[
        str, TextType("the name of a parameter or artifact", "^[A-Za-z_][-A-Za-z0-9_]{0,62}$", examples=["rows", "status_code"])
    ],
)
Namespace = TypeAliasType(
    "Namespace",
    Annotated[str, TextType("a namespace", "^[A-Za-z0-9._-]{1,63}$", examples=["default", "team-a"])],
)
Duration = TypeAliasType(
    "Duration",
    Annotated[
        str,
        TextType("a duration", PATTERN, parse_duration, minLength=1, examples=_SPANS, **{"not": {"pattern": ZERO_PATTERN}}),
    ],
)
Delay = TypeAliasType(
    "Delay",
    Annotated[
        str,
        TextType("a duration", PATTERN, partial(parse_duration, zero=True), minLength=1, examples=["0s", *_SPANS]),
    ],
)
SemVer = TypeAliasType(
    "SemVer",
    Annotated[
        str,
        TextType(
            "a semantic version",
            f"^{_SEMVER_PART}(\\.{_SEMVER_PART}){{2}}(-{_SEMVER_TAIL})?(\\+{_SEMVER_TAIL})?$",
            examples=["1.0.0", "2.1.0-rc.1"],
        ),
    ],
)
Instant = TypeAliasType(
    "Instant",
    Annotated[
        str,
        TextType(
            "an RFC 3339 instant",
            "^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})$",
            examples=["2026-01-01T00:00:00Z"],
        ),
    ],
)
Schedule = TypeAliasType(
    "Schedule",
    Annotated[
        str,
        TextType(
            "a schedule",
            f"^(@(yearly|annually|monthly|weekly|daily|midnight|hourly)|{_CRON_FIELD}([ \\t]+{_CRON_FIELD}){{4}})$",
            maxLength=256,
            examples=["0 3 * * *", "*/15 * * * MON-FRI", "@daily"],
        ),
    ],
)
Zone = TypeAliasType(
    "Zone",
    Annotated[
        str,
        TextType(
            "a time zone",
            "^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$",
            maxLength=64,
            examples=["UTC", "Europe/Vienna"],
        ),
    ],
)
PlaceholderText = TypeAliasType(
    "PlaceholderText",
    Annotated[
        str,
        TextType(
            "one placeholder",
            "^[ \\t\\r\\n]*\\{\\{[^{}]+\\}\\}[ \\t\\r\\n]*$",
            examples=["{{inputs.parameters.files}}"],
        ),
    ],
)
Word = TypeAliasType("Word", Annotated[str, TextType("text", "^[^\\r\\n]+$")])


class Whole:
    """A whole number within bounds. JSON knows one kind of number: 5.0 is an integer to JSON Schema, so it is one here."""

    def __init__(self, least: int, most: int | None = None) -> None:
        self._least, self._most = least, most

    @staticmethod
    def _integral(value: Any) -> Any:
        return int(value) if type(value) is float and value.is_integer() else value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        exact = core_schema.int_schema(strict=True, ge=self._least, le=self._most)
        return core_schema.no_info_before_validator_function(self._integral, exact)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        bounds = {"minimum": self._least, "maximum": self._most}
        return {"type": "integer", **{keyword: bound for keyword, bound in bounds.items() if bound is not None}}


def _filled(value: list[T]) -> list[T]:
    if not value:
        raise ValueError("at least one entry is needed")
    return value


Some = Annotated[list[T], AfterValidator(_filled), Field(json_schema_extra={"minItems": 1})]


def doc(description: str, default: Any = ..., **more: Any) -> Any:
    """A field with its hover text; required unless it has a default."""
    return Field(default, description=description, **more)
