"""Faults in the broker for a Celery fleet: what its table in Redis lets happen once.

Law: see faults.py. Tests before a real Redis notice these.
"""

from __future__ import annotations

from tests.mutation.faults import Fault

TABLE = "tests/unit/celery/test_table.py"
SCRIPTS = "adapters/brokers/celery/scripts.py"

FAULTS = (
    Fault(
        "RT-149",
        "a delivery is claimed as often as its message comes",
        SCRIPTS,
        "  if lives(was[3]) then return {'held'} end\n",
        "  if lives(was[3]) then return {'yours', was[4], was[5], was[6], was[7]} end\n",
        TABLE,
    ),
    Fault(
        "RT-149",
        "a message leads to a delivery that is not the one of now",
        SCRIPTS,
        "if was[1] ~= token then return {'gone'} end",
        "if not was[1] then return {'gone'} end",
        TABLE,
    ),
    Fault(
        "RT-149",
        "a worker whose session has ended claims",
        SCRIPTS,
        "  if not lives(session) then return {'late'} end\n",
        "",
        TABLE,
    ),
    Fault(
        "RT-149",
        "an attempt of a worker that gives no sign of life is held for ever",
        SCRIPTS,
        "  if left < 0 then\n",
        "  if false then\n",
        TABLE,
    ),
    Fault(
        "RT-149",
        "a newer attempt begins beside the one before it",
        SCRIPTS,
        "if not runs then return fresh() end\nif was[6]",
        "if true then return fresh() end\nif was[6]",
        TABLE,
    ),
    Fault(
        "RT-149",
        "a stop that got lost is not given again",
        SCRIPTS,
        "if was[1] ~= ARGV[i + 1] or was[2] == 'stopping' then",
        "if was[1] ~= ARGV[i + 1] then",
        TABLE,
    ),
    Fault(
        "RT-149",
        "a result is forgotten when it is fetched by an engine that comes next",
        SCRIPTS,
        "if state == 'waiting' or state == 'ended' or (state == 'running' and lives(was[4])) then",
        "if state == 'waiting' or (state == 'running' and lives(was[4])) then",
        TABLE,
    ),
    Fault(
        "RT-149",
        "a worker does not put back what it has where the table was emptied",
        SCRIPTS,
        "             'state', 'running', 'session', session, 'ttl', ttl)\n  redis.call('PEXPIRE', t, ttl)\n  return 1\n",
        "             'state', 'running', 'session', session, 'ttl', ttl)\n  redis.call('DEL', t)\n  return 0\n",
        TABLE,
    ),
    Fault(
        "RT-149",
        "a log takes as much room in Redis as it likes",
        SCRIPTS,
        "if redis.call('LLEN', l) >= tonumber(most) then return 0 end\n",
        "",
        TABLE,
    ),
)
