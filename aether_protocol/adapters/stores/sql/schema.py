"""The tables of a store in SQL, as numbered migrations.

`user_version` is the number of the newest migration that a file has been through, `application_id` says that the file is an
Aether store. A migration that was released never changes; the next one is added at the end.
"""

from __future__ import annotations

from typing import Final

APPLICATION_ID: Final = 0x41455448  # "AETH"
FIRST: Final = 12  # the number of the first migration: files of smaller ones were written before the first release

# Instants are microseconds since the epoch. Every row that says something carries a digest of what it says, `sum`
# (records.COVERED).
#
# Step `seq` of run `number` lives in the row of `steps` whose id is number * 2**32 + the first step of that row: one
# B-tree, appended to in order, and its key is the optimistic lock. `last` is the row's last step, `ended` the leaves ended
# by then: of an open run `runs` would have to change with every step for these two; there `seq` and `leaves_ended` are as of
# the last change of anything else. Of a run, `fixed` covers what is written once, `moved` the rest; `head` is the sum of the
# row of steps that `seq` is in, so that a log whose end was cut does not fit. `wake_at`: until when a run is passivated.
# `epoch`: how often the run may have gone back to an earlier state (StoredRun).
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
        owner TEXT,
        epoch INTEGER NOT NULL DEFAULT 0,
        wake_at INTEGER,
        document_version INTEGER,
        trace_id TEXT,
        fixed BLOB,
        moved BLOB,
        head BLOB
    )""",
    "CREATE INDEX runs_newest ON runs (created_at, run_id)",
    "CREATE INDEX runs_plan ON runs (digest)",
    "CREATE INDEX runs_open ON runs (owner) WHERE closed = 0 AND wake_at IS NULL",
    "CREATE INDEX runs_asleep ON runs (wake_at) WHERE closed = 0 AND wake_at IS NOT NULL",
    "CREATE TABLE plans (number INTEGER PRIMARY KEY, digest TEXT NOT NULL UNIQUE, text TEXT NOT NULL)",
    "CREATE TABLE heads (run INTEGER PRIMARY KEY, plan INTEGER NOT NULL, header TEXT NOT NULL, sum BLOB)",
    "CREATE INDEX heads_plan ON heads (plan)",
    "CREATE TABLE steps (id INTEGER PRIMARY KEY, last INTEGER NOT NULL, ended INTEGER NOT NULL, "
    "change INTEGER NOT NULL, lines TEXT NOT NULL, sum BLOB)",
    "CREATE TABLE snapshots (run INTEGER PRIMARY KEY, seq INTEGER NOT NULL, text TEXT NOT NULL, sum BLOB)",
    "CREATE TABLE artifacts (run INTEGER NOT NULL, digest TEXT NOT NULL, PRIMARY KEY (run, digest)) WITHOUT ROWID",
    "CREATE INDEX artifacts_digest ON artifacts (digest)",
    """CREATE TABLE keys (
        namespace TEXT NOT NULL,
        key TEXT NOT NULL,
        run INTEGER NOT NULL,
        digest TEXT NOT NULL,
        sum BLOB,
        PRIMARY KEY (namespace, key)
    ) WITHOUT ROWID""",
    "CREATE INDEX keys_run ON keys (run)",
)

# `length` of a lease in microseconds, NULL where it has no end. `breaks`: how often a run broke its engine in a row, `ended`
# the leaves that had ended by then; it is `aside` until it is to be tried again.
_LEASES: Final = (
    "CREATE TABLE owners (owner TEXT PRIMARY KEY, until INTEGER NOT NULL, length INTEGER) WITHOUT ROWID",
    "CREATE TABLE locks (name TEXT PRIMARY KEY, owner TEXT NOT NULL, until INTEGER NOT NULL, length INTEGER) WITHOUT ROWID",
    """CREATE TABLE breaks (
        run INTEGER PRIMARY KEY,
        times INTEGER NOT NULL,
        ended INTEGER NOT NULL,
        aside INTEGER NOT NULL,
        reason TEXT NOT NULL
    )""",
    """CREATE TABLE requests (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        run INTEGER NOT NULL,
        request TEXT NOT NULL,
        given INTEGER NOT NULL DEFAULT 0,
        answer TEXT,
        sum BLOB
    )""",
    "CREATE INDEX requests_open ON requests (run) WHERE answer IS NULL",
)

# The change feed (`changes`, `numbers`): `id` is the number of the change, `run` that of the run, `gone` the id of one that was
# deleted and `namespace` that which it was of; steps alone of a run that is open and awake have their number beside them
# (`steps.change`). `reserved` is the end of the newest block of numbers.
_CHANGES: Final = (
    "CREATE TABLE changes (id INTEGER PRIMARY KEY, run INTEGER NOT NULL, gone TEXT, namespace TEXT)",
    "CREATE TABLE feed (reserved INTEGER PRIMARY KEY)",
    "INSERT INTO feed VALUES (0)",
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
        at INTEGER NOT NULL,
        delivery INTEGER NOT NULL,
        end_byte INTEGER NOT NULL,
        sum BLOB
    )""",
    "CREATE INDEX logs_run ON logs (run)",
    "CREATE INDEX logs_path ON logs (run, path)",
    """CREATE TABLE log_bounds (
        run INTEGER NOT NULL,
        path TEXT NOT NULL,
        size INTEGER NOT NULL,
        dropped INTEGER NOT NULL,
        last INTEGER NOT NULL,
        sum BLOB,
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
        sum BLOB,
        PRIMARY KEY (kind, namespace, name, version)
    )""",
    """CREATE TABLE document_marks (
        file TEXT NOT NULL,
        kind TEXT NOT NULL,
        namespace TEXT NOT NULL,
        name TEXT NOT NULL,
        state TEXT NOT NULL,
        detail TEXT NOT NULL,
        at INTEGER NOT NULL,
        sum BLOB,
        PRIMARY KEY (file, kind, namespace, name)
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
        sum BLOB,
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
        generation INTEGER NOT NULL,
        sum BLOB
    )""",
    "CREATE INDEX fires_newest ON fires (schedule, id)",
    "CREATE INDEX fires_run ON fires (run_id) WHERE run_id IS NOT NULL",
)

# `used_at` is not covered by the sum of a token: it is written often, and by the way. The id of a record of the audit is never
# given twice, so that one which is missing shows.
_ACCESS: Final = (
    """CREATE TABLE tokens (
        token TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        kind TEXT NOT NULL,
        roles TEXT NOT NULL,
        pools TEXT NOT NULL,
        digest TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        expires_at INTEGER,
        revoked_at INTEGER,
        used_at INTEGER,
        sum BLOB
    )""",
    """CREATE TABLE namespaces (
        name TEXT PRIMARY KEY,
        created_at INTEGER NOT NULL,
        weight INTEGER NOT NULL,
        most INTEGER,
        sum BLOB
    )""",
    """CREATE TABLE audit (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        at INTEGER NOT NULL,
        actor TEXT NOT NULL,
        kind TEXT NOT NULL,
        token TEXT NOT NULL,
        action TEXT NOT NULL,
        namespace TEXT NOT NULL,
        target TEXT NOT NULL,
        outcome TEXT NOT NULL,
        detail TEXT NOT NULL,
        sum BLOB
    )""",
    "CREATE INDEX audit_namespace ON audit (namespace, id)",
)

# The store's own name (one row). Of the servers of this store: the key of their tokens with the number of the newest term of
# service (one row), the workers that said hello to them, with the namespaces that these may serve, and the servers themselves,
# as JSON, which one of another version reads as far as it can.
_FLEET: Final = (
    "CREATE TABLE identity (id INTEGER PRIMARY KEY, text TEXT NOT NULL, sum BLOB)",
    "CREATE TABLE terms (id INTEGER PRIMARY KEY, text TEXT NOT NULL, term INTEGER NOT NULL, sum BLOB)",
    """CREATE TABLE workers (
        name TEXT PRIMARY KEY,
        text TEXT NOT NULL,
        namespaces TEXT NOT NULL,
        at INTEGER NOT NULL,
        connected INTEGER NOT NULL,
        sum BLOB
    ) WITHOUT ROWID""",
    "CREATE TABLE servers (owner TEXT PRIMARY KEY, text TEXT NOT NULL, sum BLOB) WITHOUT ROWID",
)

MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (
    (*_RUNS, *_LEASES, *_CHANGES, *_LOGS_AND_LIBRARY, *_SCHEDULES, *_ACCESS, *_FLEET),  # FIRST
    # The newest runs of each workflow (`newest`).
    ("CREATE INDEX runs_workflow ON runs (namespace, workflow, created_at DESC, run_id DESC)",),
    # The newest runs in other phases than that in which most are: a condition on phases says so in these words (`condition`).
    ("CREATE INDEX runs_other ON runs (created_at DESC, run_id DESC) WHERE phase <> 'Succeeded'",),
)
NEWEST: Final = FIRST + len(MIGRATIONS) - 1
# The oldest schema whose programs may use a store of NEWEST. A migration that only adds what they do not look at leaves it as
# it is, so that servers of both versions use one store while they are replaced one by one; any other raises it to its own.
USABLE_SINCE: Final = FIRST
