"""Store files as older versions left them, made from new ones."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

_SUMS: Final = {
    "runs": ("fixed", "moved", "head"),
    **dict.fromkeys(
        ("heads", "steps", "snapshots", "requests", "logs", "log_bounds", "documents", "schedules", "fires"), ("sum",)
    ),
}
_MADE_BY: Final = {  # the tables that a migration made
    2: ("logs", "log_bounds", "documents"),
    3: ("schedules", "fires"),
    4: ("breaks",),
    5: ("undigested", "artifacts"),
}


def age(path: Path, version: int) -> None:
    """Take from a file what later migrations than number `version` brought; the file is closed."""
    connection = sqlite3.connect(path, isolation_level=None)
    for kind, name in connection.execute("SELECT type, name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        connection.execute(f"DROP {kind} {name}")
    connection.execute("DROP TABLE changes")
    connection.execute("DROP INDEX runs_asleep")
    connection.execute("DROP INDEX runs_open")
    connection.execute("ALTER TABLE runs DROP COLUMN wake_at")
    connection.execute("DROP INDEX requests_open")
    for number, tables in _MADE_BY.items():
        for table in tables if number > version else ():
            connection.execute(f"DROP TABLE {table}")
    lengths = [(table, ("length",), 4) for table in ("owners", "locks")]
    for table, columns, made_by in [*((*item, 5) for item in _SUMS.items()), *lengths]:
        there = connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchone()
        for column in columns if there and version < made_by else ():
            connection.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
    connection.execute(f"PRAGMA user_version = {version}")
    connection.execute("VACUUM")
    connection.close()
