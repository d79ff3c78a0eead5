"""AE6xx: what can be wrong with a configuration file.

Law: one row per code, in order of code; codes are never reused for something else.
"""

from typing import Final

from aether_protocol.diagnostics.model import CodeInfo

CONFIGURATION: Final = (
    CodeInfo(
        "AE601",
        "error",
        "the configuration cannot be read",
        "`aether.toml` (or a pyproject.toml with a `[tool.aether]`) is TOML 1.0 in UTF-8, of at most 256 KiB. A key or a table "
        "stands once; text stands in quotes.",
    ),
    CodeInfo(
        "AE602",
        "error",
        "an unknown key",
        "The configuration is closed: a key that no setting has is a mistake, not a wish that is passed over. The reference "
        "lists all settings.",
    ),
    CodeInfo(
        "AE603",
        "error",
        "a value that the setting does not take",
        "The value has another type than the setting, or is not among the values that it takes. Numbers and true or false "
        "stand without quotes.",
    ),
    CodeInfo(
        "AE604",
        "error",
        "a setting stands twice",
        "A setting is given under its own name and under that of a prior system (`[persistence] mode`, `db_path`), so it is "
        "not clear which one counts. Keep one of them.",
    ),
    CodeInfo(
        "AE605",
        "warning",
        "a table of settings that does not count",
        "A folder has both an `aether.toml` and a pyproject.toml with a `[tool.aether]`. The former counts, the latter does "
        "not, not even for what the former leaves out.",
    ),
)
