"""The published schema is that of the sections, and agrees with the checks about what is valid."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import jsonschema
import pytest

from aether_protocol.assembly.configuration.find import ConfigurationFile
from aether_protocol.assembly.configuration.schema import FILE, generate, text
from aether_protocol.assembly.configuration.settings import ANY_NAME, settings
from aether_protocol.assembly.configuration.tables import read_tables

SCHEMA = Path(__file__).parents[3] / "schemas" / FILE


def test_the_file_is_what_the_sections_say() -> None:
    command = f"python -m aether_protocol.assembly.configuration.schema > schemas/{FILE}"
    assert SCHEMA.read_text("utf-8") == text(), f"run {command}"


def test_it_is_a_schema_and_describes_every_setting() -> None:
    schema = generate()
    jsonschema.Draft202012Validator.check_schema(schema)
    for row in settings().values():
        section, *between, name = row.key.split(".")
        found = schema["properties"][section]
        found = found["additionalProperties"] if between == [ANY_NAME] else found
        definition = schema["$defs"][found["$ref"].rpartition("/")[2]]
        assert definition["properties"][name]["description"] == row.text


@pytest.mark.parametrize(
    "toml",
    [
        "",
        "[store]\nurl = 'sqlite:x.db'\ntier = 'snapshot'\ndurability = 'normal'\n",
        "[store]\ntier = 'memory'\n",
        "[store]\nurl = 1\n",
        "[stor]\n",
        "[store]\nx = 1\n",
        "library.paths = ['a', 'b']\n",
        "library.paths = 'a'\n",
        "library.paths = [1]\n",
        "concurrency.attempts = 1\n",
        "concurrency.attempts = 0\n",
        "concurrency.attempts = true\n",
        "limits.bytes = 1.5\n",
        "logging.debug = true\n",
        "logging.debug = 'true'\n",
        "executors.http.enabled = false\n",
        "executors.http.x = false\n",
        "executors.http = false\n",
        "executors = []\n",
        "[profile.p.limits]\nnodes = 3\n",
        "[profile.p.limits]\nnode = 3\n",
        "[profile.p.profile.q]\n",
        "profile = 'p'\n",
        "persistence.mode = 'memory'\n",
        "persistence.mode = 'disk'\n",
        "persistence.db_path = 'x'\n",
        "server.db_path = 'x'\n",
        "server.port = 1\n",
        "[profile.p.persistence]\nmode = 'snapshot'\n",
    ],
)
def test_an_editor_and_the_checks_agree(toml: str) -> None:
    errors = list(jsonschema.Draft202012Validator(generate()).iter_errors(tomllib.loads(toml)))
    faults = read_tables(ConfigurationFile("aether.toml", "project", toml.encode())).faults
    assert bool(errors) == bool(faults), (errors, faults)


def test_the_schema_is_json_with_a_line_end() -> None:
    assert json.loads(text())["title"] == "aether.toml"
    assert text().endswith("}\n")
