"""Faults of what goes between servers and workers; tests notice them."""

from __future__ import annotations

from typing import Final

from tests.mutation.faults import Fault

ARTIFACTS: Final = "tests/unit/server/test_artifacts.py"

FAULTS: tuple[Fault, ...] = (
    Fault(
        "artifacts by digest",
        "what came is kept, whatever it is",
        "adapters/artifacts/transfers.py",
        "            if found != digest:\n",
        "            if not digest:\n",
        tests=ARTIFACTS,
    ),
    Fault(
        "artifacts by digest",
        "a delivery may fetch every artifact of the server",
        "server/artifacts.py",
        "and digest not in allowed",
        "and not allowed",
        tests=ARTIFACTS,
    ),
    Fault(
        "artifacts by digest",
        "a result may name an artifact that was never sent",
        "adapters/brokers/workers.py",
        "            if size is None:\n",
        "            if digest is None:\n",
        tests=ARTIFACTS,
    ),
    Fault(
        "artifacts by digest",
        "a worker keeps what came damaged",
        "worker/cache.py",
        "            if found != digest:\n",
        "            if not digest:\n",
        tests="tests/unit/worker/test_cache.py",
    ),
    Fault(
        "workers",
        "a process that does not come up counts as the death of its attempt",
        "worker/processes.py",
        "            elif not child.is_ready and status >= 0:\n",
        "            elif False:\n",
        tests="tests/e2e/test_worker_executors.py",
    ),
    Fault(
        "workers",
        "what workers declare of a config is passed over",
        "server/known_workers.py",
        "    plain = without_conditions(schema)\n",
        "    plain = schema\n",
        tests="tests/unit/server/test_declared_types.py",
    ),
    Fault(
        "logs of workers",
        "a log that comes twice is stored twice after a restart",
        "adapters/stores/sql/logs.py",
        "    return int(found[0]) if found is not None else 0\n",
        "    return int(found[0]) if found is None else 0\n",
        tests="tests/unit/server/test_logs.py",
    ),
    Fault(
        "logs of workers",
        "a log is acknowledged before it is stored",
        "adapters/brokers/worker_logs.py",
        "        logs.open.add((name, end))\n",
        "        logs.open.add((name, end))\n        _note(logs, name, end)\n",
        tests="tests/unit/server/test_logs.py",
    ),
    Fault(
        "logs of workers",
        "a result waits for its log as long as it takes",
        "worker/outbox.py",
        "if result.token in unsent and now < due:",
        "if result.token in unsent:",
        tests="tests/unit/worker/test_supervisor.py",
    ),
    Fault(
        "logs of workers",
        "what is dropped of a log leaves no note",
        "worker/spool.py",
        "                self._drop(piece)\n            if not segment.size:\n",
        "                pass\n            if not segment.size:\n",
        tests="tests/unit/worker/test_spool.py",
    ),
    Fault(
        "artifacts by digest",
        "a server gives its broker no place to look for them",
        "server/host.py",
        "            artifacts=artifacts,\n            settings=",
        "            settings=",
        tests="tests/unit/server/test_host.py",
    ),
    Fault(
        "batches",
        "what a dead child had is put together again",
        "worker/batches.py",
        '            self._alone[str(assignment.get("taskRunId"))] = None\n',
        "",
        tests="tests/unit/worker/test_batches.py",
    ),
    Fault(
        "batches",
        "attempts that wait for artifacts hold up others",
        "worker/batches.py",
        ' or artifacts.get("inputs") or artifacts.get("outputs"))',
        ")",
        tests="tests/unit/worker/test_batches.py",
    ),
    Fault(
        "logs of workers",
        "a piece that was not acknowledged is not sent again",
        "worker/spool.py",
        "for pieces in reversed(self._flight.values()) for piece in reversed(pieces))\n",
        "for pieces in () for piece in pieces)\n",
        tests="tests/unit/worker/test_supervisor.py",
    ),
    Fault(
        "runs in memory",
        "a server takes them from its own engine",
        "engine/api.py",
        "        if wanted is None and not self._store.durable:\n",
        "        if wanted is None and self._store.durable is None:\n",
        tests="tests/unit/server/test_host.py",
    ),
    Fault(
        "demands on workers",
        "a selector that cannot be read is found only when a worker is looked for",
        "compiler/checks/placement.py",
        "                if isinstance(text, str):\n",
        "                if isinstance(text, bytes):\n",
        tests="tests/unit/compiler/test_placement.py",
    ),
    Fault(
        "placement",
        "what a dag or a loop asks of workers does not reach its tasks",
        "scheduler/assignments.py",
        "        for call in reversed(calls):\n",
        "        for call in calls[:0]:\n",
    ),
    Fault(
        "placement",
        "a nearer selector drops conditions on other labels",
        "plan/placement.py",
        "if one.key not in keys)",
        "if not keys)",
    ),
)
