"""Faults in what workers may do by their tokens, and in how attempts find the version of an executor; tests notice them."""

from __future__ import annotations

from typing import Final

from tests.mutation.faults import Fault

CALLS: Final = "server/worker_calls.py"
TOKENS: Final = "service/access/tokens.py"
VARIANTS: Final = "adapters/brokers/executor_variants.py"
TOKEN_TESTS: Final = "tests/unit/service/test_tokens.py"
WORKER_TESTS: Final = "tests/unit/server/test_worker_tokens.py"
TYPE_TESTS: Final = "tests/unit/server/test_declared_types.py"
BROKER_TESTS: Final = "tests/contracts/test_worker_broker.py"
GRPC_TESTS: Final = "tests/unit/server/test_grpc.py"
FLEET_TESTS: Final = "tests/unit/fleet/test_machine.py"

FAULTS: tuple[Fault, ...] = (
    Fault(
        "RT-147",
        "the token of a worker ends at once, with what it has",
        TOKENS,
        'LATE_US if token.kind == "worker" else 0',
        "0",
        tests=TOKEN_TESTS,
    ),
    Fault(
        "RT-147",
        "the token of a person counts for an hour longer",
        TOKENS,
        'LATE_US if token.kind == "worker" else 0',
        "LATE_US",
        tests=TOKEN_TESTS,
    ),
    Fault(
        "RT-147",
        "a worker whose token has expired works on as before",
        TOKENS,
        "if is_late and left is not None else caller",
        "if False else caller",
        tests=TOKEN_TESTS,
    ),
    Fault(
        "RT-147",
        "a token that is revoked counts for an hour, too",
        TOKENS,
        "    if token.revoked_at is not None:\n        return 0\n",
        "    if token.revoked_at is not None:\n        return LATE_US\n",
        tests=TOKEN_TESTS,
    ),
    Fault(
        "RT-147",
        "a worker may come with nothing by a token that has expired",
        CALLS,
        "if caller.late_s is not None and not hello.holding:",
        "if False:",
        tests=WORKER_TESTS,
    ),
    Fault(
        "RT-147",
        "a worker that comes back with what it has cannot finish it",
        CALLS,
        "if caller.late_s is not None and not hello.holding:",
        "if caller.late_s is not None:",
        tests=WORKER_TESTS,
    ),
    Fault(
        "RT-147",
        "a worker that comes back by a token that has expired gets work",
        CALLS,
        "        self._drain_late(welcome.session)\n",
        "",
        tests=WORKER_TESTS,
    ),
    Fault(
        "RT-147",
        "a poll by a token that has expired gets work",
        CALLS,
        "        self._drain_late(session)\n        return await held.poll(",
        "        return await held.poll(",
        tests=WORKER_TESTS,
    ),
    Fault(
        "RT-147",
        "a beat by a token that has expired drains nothing",
        CALLS,
        "        self._drain_late(session)\n        orders = held.beat(",
        "        orders = held.beat(",
        tests=WORKER_TESTS,
    ),
    Fault(
        "RT-147",
        "one token has as many workers as it likes",
        CALLS,
        "if self._count_others(hello.instance) >= MOST_SESSIONS:",
        "if False:",
        tests=WORKER_TESTS,
    ),
    Fault(
        "RT-147",
        "a process whose token is full of sessions cannot come back",
        CALLS,
        "one.holder == token and (not instance or one.instance != instance)",
        "one.holder == token",
        tests=WORKER_TESTS,
    ),
    Fault(
        "RT-147",
        "workers of other tokens count as this one's",
        CALLS,
        "one.holder == token and (not instance or one.instance != instance)",
        "not instance or one.instance != instance",
        tests=WORKER_TESTS,
    ),
    Fault(
        "RT-147",
        "a caller may ask as often as it likes over gRPC",
        "server/grpc/callers.py",
        "if counts and limiter is not None and",
        "if False and",
        tests=GRPC_TESTS,
    ),
    Fault(
        "RT-147",
        "a caller may follow as much as it likes over gRPC",
        "server/grpc/edge.py",
        "            if not may:\n",
        "            if False:\n",
        tests=GRPC_TESTS,
    ),
    Fault(
        "RT-151",
        "what the newest worker declares counts alone",
        VARIANTS,
        "alternatives=tuple(found[1:]))",
        "alternatives=())",
        tests=TYPE_TESTS,
    ),
    Fault(
        "RT-151",
        "what a worker declares is known in all namespaces",
        "server/hosting/known_workers.py",
        "(None,) if known.namespaces is None else known.namespaces",
        "(None,)",
        tests=TYPE_TESTS,
    ),
    Fault(
        "RT-151",
        "what workers for all namespaces declare hides what those of a namespace do",
        "plan/executors.py",
        '(known, cast("Any", own), everywhere)',
        '(known, everywhere, cast("Any", own))',
        tests=TYPE_TESTS,
    ),
    Fault(
        "RT-151",
        "what workers of a namespace declare hides what those for all namespaces do",
        "server/hosting/known_workers.py",
        "for name in types.keys() & everywhere.keys():",
        "for name in ():",
        tests=TYPE_TESTS,
    ),
    Fault(
        "RT-151",
        "what workers declare counts before what the server has",
        "plan/executors.py",
        'cast("Any", known), cast("Any", everywhere))',
        'cast("Any", everywhere), cast("Any", known))',
        tests=TYPE_TESTS,
    ),
    Fault(
        "RT-151",
        "a version that is not the server's is not looked at where all workers have it",
        VARIANTS,
        "len(known) > 1 or (own is not None and own not in known)",
        "len(known) > 1",
        tests=TYPE_TESTS,
    ),
    Fault(
        "RT-151",
        "an attempt is sent to a worker whose version its config does not fit",
        "adapters/brokers/workers.py",
        "                    if misfit is not None:\n",
        "                    if False:\n",
        tests=BROKER_TESTS,
    ),
    Fault(
        "RT-151",
        "a secret is held against what a version wants of a text",
        VARIANTS,
        "    if isinstance(value, SecretValue):\n",
        "    if False:\n",
        tests=TYPE_TESTS,
    ),
    Fault(
        "RT-151",
        "an attempt that fits no version waits for ever",
        "fleet/attempts.py",
        "    work.wait_until, work.misfit = work.waited_until, event.reason\n",
        "    work.misfit = event.reason\n",
        tests=FLEET_TESTS,
    ),
    Fault(
        "RT-151",
        "an attempt that fits no version is not said to wait for one",
        "fleet/reasons.py",
        "lambda one: one.variants.get(need.executor) not in need.unfit",
        "lambda one: True",
        tests=FLEET_TESTS,
    ),
    Fault(
        "RT-151",
        "an attempt that one worker could not take goes behind all others",
        "fleet/attempts.py",
        "*work.need.unfit, event.variant})))\n    fleet.queue(work, first=True)",
        "*work.need.unfit, event.variant})))\n    fleet.queue(work)",
        tests=BROKER_TESTS,
    ),
)
