"""The published JSON Schema (2020-12) of `aether.toml`, made from the sections.

Law: the sections are the source, `schemas/aether-toml.schema.json` is their picture, and a test keeps them equal.
`python -m aether_protocol.assembly.configuration.schema > schemas/aether-toml.schema.json` draws it anew.
"""

from __future__ import annotations

import json
from typing import Any, Final

from msgspec import defstruct, field
from msgspec.json import schema_components

from aether_protocol.assembly.configuration.sections import NAMED_SECTIONS, SECTIONS
from aether_protocol.assembly.configuration.tables import PROFILES, RENAMED

FILE: Final = "aether-toml.schema.json"
TITLES: Final = {
    PROFILES: "Settings that win over the others where a profile is chosen, by `--profile` or AETHER_PROFILE.",
    "persistence": "The words of the prior system for `[store]`.",
}


def generate() -> dict[str, Any]:
    """The schema, from the sections."""
    fields: list[Any] = [(name, section, field(default_factory=section)) for name, section in SECTIONS.items()]
    fields += [(name, dict[str, section], field(default_factory=dict)) for name, section in NAMED_SECTIONS.items()]  # type: ignore[valid-type]
    profile: Any = defstruct("Profile", fields, forbid_unknown_fields=True)
    profiles: Any = (PROFILES, dict[str, profile], field(default_factory=dict))
    whole = defstruct("Configuration", [*fields, profiles], forbid_unknown_fields=True)
    (_,), definitions = schema_components([whole], ref_template="#/$defs/{name}")
    for definition in definitions.values():
        _tidy(definition)
    for name in ("Profile", "Configuration"):
        _add_old_words(definitions, definitions[name]["properties"])
    root = definitions.pop("Configuration")
    root["properties"][PROFILES]["description"] = TITLES[PROFILES]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:aether-protocol:aether-toml",
        **root,
        "title": "aether.toml",
        "description": "Settings of aether for a project, a user or a system.",
        "$defs": definitions,
    }


def _tidy(definition: dict[str, Any]) -> None:
    """Leave out what says nothing: null, which TOML does not have, and empty defaults."""
    for name in ("title", "required"):
        definition.pop(name, None)
    for one in definition["properties"].values():
        if one.get("default") in ({}, None):
            one.pop("default", None)
        given = [choice for choice in one.get("anyOf", ()) if choice != {"type": "null"}]
        if len(given) == 1:
            del one["anyOf"]
            one |= given[0]


def _add_old_words(definitions: dict[str, Any], properties: dict[str, Any]) -> None:
    """Add the keys of the prior system, and the sections that it alone has."""
    for key in RENAMED:
        section, _, name = key.partition(".")
        if section in SECTIONS:
            table = definitions[properties[section]["$ref"].rpartition("/")[2]]
        else:
            table = properties.setdefault(
                section, {"type": "object", "description": TITLES[section], "properties": {}, "additionalProperties": False}
            )
        choices = {"enum": ["memory", "snapshot", "state-action-log"]} if name == "mode" else {"type": "string"}
        table["properties"][name] = {**choices, "deprecated": True}


def text() -> str:
    """The file."""
    return json.dumps(generate(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    print(text(), end="")
