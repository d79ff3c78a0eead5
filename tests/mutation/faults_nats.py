"""Faults in the broker behind NATS: messages in parts, shared slots, engines that follow one another; and in that for Dask.

Law: see faults.py. Tests without a NATS server notice these.
"""

from __future__ import annotations

from tests.mutation.faults import Fault

MESSAGES = "tests/unit/ports/test_nats_messages.py"
SLOTS_TEST = "tests/unit/worker/test_nats_slots.py"
FRAMES = "adapters/brokers/nats/frames.py"
BROKER = "adapters/brokers/nats/broker.py"
SUBJECTS = "adapters/brokers/nats/subjects.py"
SLOTS = "worker/nats/slots.py"
ENGINES = "worker/nats/engines.py"
ACCESS = "tests/e2e/test_nats_access.py"
REACH = "adapters/brokers/nats/reach.py"
DASK_E2E = "tests/e2e/test_dask.py"
DASK_TEST = "tests/unit/ports/test_dask_deliveries.py"
DASK = "adapters/brokers/dask/deliveries.py"

FAULTS = (
    Fault(
        "RT-145",
        "an attempt that no Dask worker took in its time waits on",
        "adapters/brokers/dask/waits.py",
        "        if not begun and self._waits(delivery):\n",
        "        if begun and self._waits(delivery):\n",
        f"{DASK_E2E} -k left_alone",
    ),
    Fault(
        "RT-145",
        "the wait for a Dask worker that fits begins anew with each offer",
        "adapters/brokers/dask/waits.py",
        "        due = self._due.setdefault(delivery.ref, now + asked.wait_at_most_us / 1e6)\n",
        "        due = self._due[delivery.ref] = now + asked.wait_at_most_us / 1e6\n",
        f"{DASK_E2E} -k no_longer_than",
    ),
    Fault(
        "RT-144",
        "a NATS server that speaks TLS alone is not asked whether it takes the password",
        REACH,
        "        if said.tls_required and not url.tls_first:\n",
        "        if said.tls_required:\n            return said, \"\"\n        if False:\n",
        f"{ACCESS} -k speaks_tls_alone",
    ),
    Fault(
        "RT-144",
        "a signal does not end a worker whose connection is not made yet",
        "worker/nats/process.py",
        "            if not opening.done():  # a signal came first\n                return\n",
        "",
        f"{ACCESS} -k signal_while",
    ),
    Fault(
        "RT-144",
        "a worker does not wait for a NATS server that is not there yet",
        "worker/nats/process.py",
        "            except NatsAwayError as error:\n",
        "            except ZeroDivisionError as error:\n",
        f"{ACCESS} -k not_there_yet",
    ),
    Fault(
        "RT-144",
        "an outage of NATS is not reported",
        "adapters/brokers/nats/link.py",
        "            self._saying = asyncio.get_running_loop().call_later(_SAY_S, self._say_lost)\n",
        "            pass\n",
        f"{ACCESS} -k never_answers",
    ),
    Fault(
        "RT-145",
        "a task that ended has no flag while Dask may have it done again",
        DASK,
        "        if needed:\n            return\n        del self._datasets[dataset]",
        "        self._datasets.pop(dataset, None)",
        DASK_TEST,
    ),
    Fault(
        "RT-144",
        "a client that never ends its messages fills the memory of an engine",
        FRAMES,
        "while self._size > MOST_BYTES or len(self._open) > _OPEN:",
        "while len(self._open) > _OPEN:",
        MESSAGES,
    ),
    Fault(
        "RT-144",
        "a part is longer than a message may be",
        FRAMES,
        "room = secrets.token_bytes(_NAME), limit - _HEAD\n",
        "room = secrets.token_bytes(_NAME), limit\n",
        MESSAGES,
    ),
    Fault(
        "RT-144",
        "what fits into no message is dropped in silence",
        BROKER,
        '                self._sink.finished(refused(ref, too_large(takes, MOST_BYTES, "the broker")))\n',
        "",
        MESSAGES,
    ),
    Fault(
        "RT-144",
        "a worker without the labels is woken",
        SUBJECTS,
        "    if not need.selector and all(",
        "    if all(",
        MESSAGES,
    ),
    Fault(
        "RT-144",
        "a slot that is kept for an answer is given out a second time",
        SLOTS,
        "        self._kept += kept\n",
        "",
        SLOTS_TEST,
    ),
    Fault(
        "RT-144",
        "a slot is free before its attempt has ended",
        SLOTS,
        "        self._slots.running[token] = self._observer\n        self._pool.begin",
        "        self._pool.begin",
        SLOTS_TEST,
    ),
    Fault(
        "RT-144",
        "a worker leaves its engine as long as that is there",
        ENGINES,
        "        if self.is_there(site, before):\n            return before\n",
        "",
        SLOTS_TEST,
    ),
)
