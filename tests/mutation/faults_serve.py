"""Faults in what is served to others: what a key, a feed and an answer promise.

Law: see faults.py. Files of tests notice these: conformance cases know no server.
"""

from __future__ import annotations

from tests.mutation.faults import Fault

RUNS = "tests/unit/server/test_runs.py"
FEEDS = "tests/unit/server/test_feeds.py"
PLACES = "tests/unit/server/test_places.py"
GUARDED = "tests/unit/service/test_guarded.py"
GATE = "tests/unit/server/test_gate.py"
SECRETS = "tests/unit/secrets/test_namespaces.py"

FAULTS = (
    Fault(
        "RT-125",
        "a key that is known gives its run whatever is asked for",
        "service/local/control.py",
        "if taken.first != made.digest:",
        "if False:",
        RUNS,
    ),
    Fault(
        "RT-129",
        "a trial is audited as a change",
        "service/access/guarded.py",
        "need.writes and not is_trial",
        "need.writes",
        GUARDED,
    ),
    Fault(
        "RT-129",
        "a trial may do what its caller may not",
        "service/access/guarded.py",
        "for namespace, _ in targets if is_trial else ():",
        "for namespace, _ in ():",
        GUARDED,
    ),
    Fault(
        "RT-125",
        "the parameters do not count",
        "service/runs/idempotency.py",
        "[plan.digest, copy_arguments(arguments)]",
        "[plan.digest]",
        RUNS,
    ),
    Fault(
        "RT-125",
        "a key goes over all namespaces",
        "adapters/stores/sql/runs.py",
        '"WHERE keys.namespace = ? AND key = ?"',
        '"WHERE ? <> \'\' AND key = ?"',
        "tests/contracts/test_stores_sqlite.py",
    ),
    Fault(
        "RT-125",
        "the answer does not say whether the run is new",
        "server/runs.py",
        "201 if once.is_new else 200",
        "201",
        RUNS,
    ),
    Fault(
        "RT-126",
        "a reader who comes again gets the last message twice",
        "engine/stream.py",
        "if step.seq > self._after and step.facts:",
        "if step.seq >= self._after and step.facts:",
        FEEDS,
    ),
    Fault(
        "RT-126",
        "where a reader was is not asked for",
        "server/sse.py",
        "    if not last:\n        return after\n",
        "    return after\n",
        FEEDS,
    ),
    Fault(
        "RT-126",
        "a message is named by its first piece",
        "server/sse.py",
        "number(part[-1])",
        "number(part[0])",
        FEEDS,
    ),
    Fault(
        "RT-126",
        "readers of one namespace get the changes of another",
        "server/feeds.py",
        "look = self._looks.get((seen, after))",
        "look = next((one for (_, at), one in self._looks.items() if at == after), None)",
        FEEDS,
    ),
    Fault(
        "RT-126",
        "the end of a feed looks like a cut",
        "server/sse.py",
        "        yield _END\n",
        "",
        FEEDS,
    ),
    Fault(
        "RT-126",
        "streams of a reader who has left stay open",
        "server/sse.py",
        "await asyncio.wait({pump, left}, return_when=asyncio.FIRST_COMPLETED)",
        "await asyncio.wait({pump})",
        FEEDS,
    ),
    Fault(
        "RT-126",
        "the last lines come without those before them",
        "adapters/stores/sql/logs.py",
        "lines[:limit] if before is None else lines[-limit:]",
        "lines[:limit]",
        "tests/contracts/test_stores_sqlite.py",
    ),
    Fault(
        "RT-129",
        "a run of another namespace is found by its id",
        "service/access/scoped_store.py",
        "return row if row is not None and self.scope.sees(row.namespace) else None",
        "return row",
        GUARDED,
    ),
    Fault(
        "RT-129",
        "a run is begun in any namespace",
        "service/local/control.py",
        "self._context.require(plan.namespace)",
        "pass",
        GUARDED,
    ),
    Fault(
        "RT-129",
        "any name of the machine is answered",
        "server/gate.py",
        "if name not in _NAMES or port is None:",
        "if port is None:",
        GATE,
    ),
    Fault(
        "RT-131",
        "a text over HTTP is opened where it looks like a path",
        "service/documents/texts.py",
        'several = [DocumentText("<text>", documents)] if isinstance(documents, str) else documents',
        "if isinstance(documents, str):\n        return [workspace.load(documents)]\n    several = documents",
        PLACES,
    ),
    Fault(
        "RT-131",
        "a server takes documents that need files of one machine",
        "service/local/context.py",
        "made.elsewhere = self.elsewhere",
        "made.elsewhere = False",
        PLACES,
    ),
    Fault(
        "RT-138",
        "a provider that knows no namespaces is asked for those of all",
        "execution/secrets.py",
        "text = provider.get(name, key) if namespace == DEFAULT_NAMESPACE else None",
        "text = provider.get(name, key)",
        SECRETS,
    ),
    Fault(
        "RT-138",
        "a worker gets the secrets of default in place of its run's",
        "adapters/brokers/workers.py",
        "self._secrets.texts(delivery.work.namespace, wanted)",
        'self._secrets.texts("default", wanted)',
        "tests/e2e/test_tenants.py",
    ),
    Fault(
        "RT-138",
        "two namespaces have one spelling",
        "adapters/secrets/naming.py",
        "    if not _PLAIN.fullmatch(namespace):\n        return None\n",
        "",
        "tests/contracts/test_secrets.py",
    ),
    Fault(
        "RT-138",
        "a name of default spells a secret of another namespace",
        "adapters/secrets/naming.py",
        'return None if flat.startswith("_") and "__" in flat[1:] else flat',
        "return flat",
        "tests/contracts/test_secrets.py",
    ),
    Fault(
        "RT-138",
        "all that default has is shared",
        "assembly/parts.py",
        "or (name not in self._names and ALL_NAMES not in self._names)",
        "",
        SECRETS,
    ),
    Fault(
        "a server that is heard",
        "large documents are compiled in the event loop",
        "service/documents/compiling.py",
        "    if not large:\n",
        "    if large is not None:\n",
        tests="tests/unit/service/test_compiling.py",
    ),
)
