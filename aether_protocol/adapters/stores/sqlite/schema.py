"""The tables of a SQLite store, as numbered migrations.

Law: a migration that was released is never changed; a new one is added at the end. `user_version` counts those that a file
has been through, `application_id` says that it is ours. A migration may call the SQL functions of FUNCTIONS.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Final

APPLICATION_ID: Final = 0x41455448  # "AETH"

# Step `seq` of run `number` lives in the row of `steps` whose id is number * 2**32 + the first step of that row: one
# B-tree, appended to in order, and its key is the optimistic lock. `last` is the row's last step, `ended` the leaves ended
# by then: of an open run these two are what `runs` would have to be told with every step; there `seq` and `leaves_ended` are
# as of the last change of anything else. Instants are microseconds since the epoch.
_RUNS: Final = (
    """CREATE TABLE runs (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        run_id TEXT NOT NULL UNIQUE,
        workflow TEXT NOT NULL,
        namespace TEXT NOT NULL,
        version TEXT,
        labels TEXT NOT NULL,
        phase TEXT NOT NULL,
        message TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        started_at INTEGER,
        ended_at INTEGER,
        closed INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        leaves_ended INTEGER NOT NULL,
        leaves_known INTEGER NOT NULL,
        digest TEXT NOT NULL,
        retry_of TEXT,
        tier TEXT NOT NULL,
        token INTEGER NOT NULL,
        owner TEXT
    )""",
    "CREATE INDEX runs_newest ON runs (created_at, run_id)",
    "CREATE INDEX runs_open ON runs (owner) WHERE closed = 0",
    "CREATE TABLE plans (number INTEGER PRIMARY KEY, digest TEXT NOT NULL UNIQUE, text TEXT NOT NULL)",
    "CREATE TABLE heads (run INTEGER PRIMARY KEY, plan INTEGER NOT NULL, header TEXT NOT NULL)",
    "CREATE INDEX heads_plan ON heads (plan)",
    "CREATE TABLE steps (id INTEGER PRIMARY KEY, last INTEGER NOT NULL, ended INTEGER NOT NULL, lines TEXT NOT NULL)",
    "CREATE TABLE snapshots (run INTEGER PRIMARY KEY, seq INTEGER NOT NULL, text TEXT NOT NULL)",
    "CREATE TABLE owners (owner TEXT PRIMARY KEY, until INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE locks (name TEXT PRIMARY KEY, owner TEXT NOT NULL, until INTEGER NOT NULL) WITHOUT ROWID",
    """CREATE TABLE requests (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        run INTEGER NOT NULL,
        request TEXT NOT NULL,
        given INTEGER NOT NULL DEFAULT 0,
        answer TEXT
    )""",
)

_LOGS_AND_LIBRARY: Final = (
    """CREATE TABLE logs (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        run INTEGER NOT NULL,
        path TEXT NOT NULL,
        node INTEGER NOT NULL,
        attempt INTEGER NOT NULL,
        stream TEXT NOT NULL,
        text TEXT NOT NULL,
        at INTEGER NOT NULL
    )""",
    "CREATE INDEX logs_run ON logs (run)",
    "CREATE INDEX logs_path ON logs (run, path)",
    """CREATE TABLE log_bounds (
        run INTEGER NOT NULL,
        path TEXT NOT NULL,
        size INTEGER NOT NULL,
        dropped INTEGER NOT NULL,
        last INTEGER NOT NULL,
        PRIMARY KEY (run, path)
    ) WITHOUT ROWID""",
    """CREATE TABLE documents (
        kind TEXT NOT NULL,
        namespace TEXT NOT NULL,
        name TEXT NOT NULL,
        version INTEGER NOT NULL,
        digest TEXT NOT NULL,
        text TEXT NOT NULL,
        at INTEGER NOT NULL,
        PRIMARY KEY (kind, namespace, name, version)
    )""",
)

_SCHEDULES: Final = (
    """CREATE TABLE schedules (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        namespace TEXT NOT NULL,
        name TEXT NOT NULL,
        settings TEXT NOT NULL,
        spec TEXT NOT NULL,
        document TEXT NOT NULL,
        applied_at INTEGER NOT NULL,
        changed_at INTEGER NOT NULL,
        seen INTEGER NOT NULL,
        next_at INTEGER,
        last_at INTEGER,
        generation INTEGER NOT NULL,
        version INTEGER NOT NULL,
        plan INTEGER NOT NULL,
        UNIQUE (namespace, name)
    )""",
    "CREATE INDEX schedules_next ON schedules (next_at) WHERE next_at IS NOT NULL",
    "CREATE INDEX schedules_plan ON schedules (plan)",
    """CREATE TABLE fires (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        schedule INTEGER NOT NULL,
        at INTEGER NOT NULL,
        kind TEXT NOT NULL,
        noted_at INTEGER NOT NULL,
        run_id TEXT,
        reason TEXT NOT NULL,
        count INTEGER NOT NULL,
        first INTEGER,
        generation INTEGER NOT NULL
    )""",
    "CREATE INDEX fires_newest ON fires (schedule, id)",
    "CREATE INDEX fires_run ON fires (run_id) WHERE run_id IS NOT NULL",
)

# `length` of a lease in microseconds. `breaks`: how often a run broke its engine in a row, `ended` the leaves that had ended by
# then; it is `aside` until somebody wants it to be tried again.
_LENGTHS_AND_BREAKS: Final = (
    "ALTER TABLE owners ADD COLUMN length INTEGER",
    "ALTER TABLE locks ADD COLUMN length INTEGER",
    """CREATE TABLE breaks (
        run INTEGER PRIMARY KEY,
        times INTEGER NOT NULL,
        ended INTEGER NOT NULL,
        aside INTEGER NOT NULL,
        reason TEXT NOT NULL
    )""",
)

# Every row that says something carries a digest of what it says, `sum` (see sqlite_sums). Of a run, `fixed` covers what is said
# once, `moved` the rest; `head` is the sum of the row of steps that `seq` is in, so that a log whose end was cut does not fit.
# Rows that were there before have none: `undigested` tells up to which rowid a table may have such rows (of steps and
# log_bounds: up to which run). `artifacts`: what a run names.
_SUMS_AND_ARTIFACTS: Final = (
    "ALTER TABLE runs ADD COLUMN fixed BLOB",
    "ALTER TABLE runs ADD COLUMN moved BLOB",
    "ALTER TABLE runs ADD COLUMN head BLOB",
    *(
        f"ALTER TABLE {table} ADD COLUMN sum BLOB"
        for table in ("heads", "steps", "snapshots", "requests", "logs", "log_bounds", "documents", "schedules", "fires")
    ),
    "CREATE TABLE undigested (name TEXT PRIMARY KEY, last INTEGER NOT NULL) WITHOUT ROWID",
    *(
        f"INSERT INTO undigested SELECT '{table}', max(rowid) FROM {table} HAVING max(rowid) > 0"
        for table in ("runs", "requests", "logs", "documents", "schedules", "fires")
    ),
    "CREATE TABLE artifacts (run INTEGER NOT NULL, digest TEXT NOT NULL, PRIMARY KEY (run, digest)) WITHOUT ROWID",
    "CREATE INDEX artifacts_digest ON artifacts (digest)",
    "INSERT OR IGNORE INTO artifacts SELECT run, value FROM heads, json_each(artifact_digests(header))",
    "INSERT OR IGNORE INTO artifacts SELECT steps.id >> 32, value FROM steps, json_each(artifact_digests(lines))",
    "INSERT OR IGNORE INTO artifacts SELECT run, value FROM snapshots, json_each(artifact_digests(text))",
)

# The change feed: a row for each append, in the order of commits (SQLite has one writer at a time), made by the statement that
# it tells of. `run` is the number of the run, `gone` the id of one that was deleted. `wake_at`: the
# instant until which a run is put down; it is not taken before.
_CHANGES_AND_SLEEP: Final = (
    "CREATE TABLE changes (id INTEGER PRIMARY KEY AUTOINCREMENT, run INTEGER NOT NULL, gone TEXT)",
    "CREATE TRIGGER changes_steps AFTER INSERT ON steps BEGIN INSERT INTO changes (run) VALUES (NEW.id >> 32); END",
    "CREATE TRIGGER changes_runs AFTER INSERT ON runs BEGIN INSERT INTO changes (run) VALUES (NEW.number); END",
    "CREATE TRIGGER changes_gone AFTER DELETE ON runs "
    "BEGIN INSERT INTO changes (run, gone) VALUES (OLD.number, OLD.run_id); END",
    "ALTER TABLE runs ADD COLUMN wake_at INTEGER",
    "CREATE INDEX runs_asleep ON runs (wake_at) WHERE closed = 0 AND wake_at IS NOT NULL",
    "DROP INDEX runs_open",
    "CREATE INDEX runs_open ON runs (owner) WHERE closed = 0 AND wake_at IS NULL",
    "CREATE INDEX requests_open ON requests (run) WHERE answer IS NULL",
)

OLDEST: Final = 6  # the first version that a file may have: older ones were written before the first release

MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (
    _RUNS,
    _LOGS_AND_LIBRARY,
    _SCHEDULES,
    _LENGTHS_AND_BREAKS,
    _SUMS_AND_ARTIFACTS,
    _CHANGES_AND_SLEEP,
)

_DIGEST: Final = re.compile("sha256:[0-9a-f]{64}")


def _artifact_digests(text: str) -> str:
    """A JSON list of what looks like the digest of an artifact."""
    return json.dumps(sorted(set(_DIGEST.findall(text))))


FUNCTIONS: Final[dict[str, Callable[[Any], Any]]] = {"artifact_digests": _artifact_digests}
