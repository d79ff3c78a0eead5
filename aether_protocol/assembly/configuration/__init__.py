"""Configuration: `aether.toml`, variables and flags, to one value for each setting that knows where it came from.

How it works. `find` names the files that count: the project's (the nearest `aether.toml` of the folder and its parents up to
the repository root, else the nearest `[tool.aether]` of a pyproject.toml there), the user's and the system's; a file of
another user is refused. `toml_text` reads one with the position of every key. `tables` holds what it says against `sections`,
the one table of settings: unknown keys and values of a wrong type are faults with file, line and column. `effective` merges
key by key; of a value the highest source counts, and nothing is appended: flag, variable, profile, project, user, system,
default. `store_place` finds the store by the same walk.

Law: nothing is read on import, and nothing at all unless `load_configuration` is called: commands call it when they first ask
for a setting that no flag gives, programs that embed the engine when they want to. A file says the same wherever the process
runs: a relative path in it counts from the folder of the file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aether_protocol.assembly.configuration.effective import Configuration as Configuration
    from aether_protocol.assembly.configuration.effective import load_configuration as load_configuration

__all__ = ["Configuration", "load_configuration"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from aether_protocol.assembly.configuration import effective

    return getattr(effective, name)
