"""Makes docs/reference/configuration.md from the table of settings: `python docs/configuration_page.py`.

Law: the page lists what the table has, nothing else. A test compares the page with what this gives.
"""

from __future__ import annotations

from pathlib import Path

from aether_protocol.assembly.configuration.sections import NAMED_SECTIONS, SECTIONS
from aether_protocol.assembly.configuration.settings import ANY_NAME, Setting, settings
from aether_protocol.expressions.values import Json

PAGE = Path(__file__).parent / "reference" / "configuration.md"

HEAD = """\
<!-- Made by docs/configuration_page.py. Change aether_protocol/assembly/configuration/sections.py, then run it. -->
# Configuration

What can be set in `aether.toml`, or in `[tool.aether]` of a pyproject.toml, with the variable and the flag that set the
same. [Configure aether](../how-to/configure.md) tells where the files lie; `aether config show` prints what holds, and where
it comes from.

The highest of these counts: flag, variable, profile, the project's file, the user's, the system's, default. Tables merge by
key; a value replaces a lower one as a whole, also a list. Relative paths in a file count from its folder, those of flags and
variables from the working directory; a list in a variable is separated like `PATH`.
[The JSON Schema](../../schemas/aether-toml.schema.json) is for editors.

"""

TAIL = """\
## Profiles

`[profile.NAME]` holds the same sections; `[profile.prod.store]` is `[store]` of the profile `prod`. A profile changes only
what it names. It is chosen by `--profile NAME` or `AETHER_PROFILE`.

## The words of the prior system

| there | here |
|---|---|
| `[persistence] mode = "snapshot"` or `"state-action-log"` | `[store] tier` |
| `[persistence] mode = "memory"` | `[store] url = "memory"` |
| `[persistence] db_path`, `[server] db_path` | `[store] url = "sqlite:PATH"` |

## Variables that choose files

| variable | what it does |
|---|---|
| `AETHER_CONFIG` | names one file to read in place of all others, whatever its owner; `/dev/null` stands for none |
| `AETHER_PROFILE` | chooses a profile |
| `XDG_CONFIG_HOME` | the folder above the user's `aether/aether.toml`, if not `~/.config` |
"""


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for name, section in [*SECTIONS.items(), *NAMED_SECTIONS.items()]:
        rows = [row for key, row in settings().items() if key.startswith(f"{name}.")]
        heading = f"{name}.TYPE" if name in NAMED_SECTIONS else name
        parts.append(f"## [{heading}]\n\n{section.__doc__}\n\n")
        parts.append("| key | value | default | variable | flag |\n|---|---|---|---|---|\n")
        parts += [_row(row) for row in rows]
        parts.append("\n" + "".join(f"- `{_name(row)}`: {row.text}\n" for row in rows) + "\n")
    return "".join([*parts, TAIL])


def _name(row: Setting) -> str:
    return row.key.replace(ANY_NAME, "TYPE").rpartition(".")[2]


def _row(row: Setting) -> str:
    cells = [f"`{_name(row)}`", row.wanted.replace("'", "`"), _told(row.default), _code(row.variable), _code(row.flag)]
    return f"| {' | '.join(cells)} |\n"


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _told(default: Json) -> str:
    if default in (None, []):
        return ""
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
