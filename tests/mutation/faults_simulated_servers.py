"""Faults in what several servers on one store do together: shares, takeovers, relays, offers, commands. The simulation of
several servers must notice each.

Law: see faults.py. `rule` is SERVERS and the number of the rule of docs/protocol.md that is broken; whichever law is reported
first counts. Those without `tests` are noticed by one of the first hundred seeds (shares 26, claims 7, results 2, slots 9, what
is asked 12, room 50); the others take a coincidence of faults that is seldom, or another guard stands before them.
"""

from __future__ import annotations

from tests.mutation.faults import Fault

OWNERSHIP = "server/sharing/ownership.py"
RELAYS = "server/relay/relays.py"
LINK = "server/relay/link.py"
BROKER = "adapters/brokers/workers.py"

FAULTS = (
    Fault(
        "SERVERS-148",
        "a server keeps all runs that it has",
        "engine/shares.py",
        "    return max(held - most_of(open_runs, engines), 0)\n",
        "    return 0\n",
    ),
    Fault(
        "SERVERS-148",
        "a run that the store counts as a server's and that is not driven there is left alone",
        OWNERSHIP,
        "        if free <= most and self._has_strays(held, now):\n",
        "        if held < 0:\n",
        tests="tests/unit/server/test_strays.py",
    ),
    Fault(
        "SERVERS-148",
        "free runs are claimed once",
        OWNERSHIP,
        "        return most if free or first else 0\n",
        "        return most if first else 0\n",
    ),
    Fault(
        "SERVERS-146",
        "what cannot be vouched for goes on",
        RELAYS,
        "            await self._broker.stop(stops)\n\n    async def _end_idle",
        "            pass\n\n    async def _end_idle",
        tests="tests/unit/server/test_relay.py",
    ),
    Fault(
        "SERVERS-146",
        "the server that drove a run before sees nothing of it any more",
        RELAYS,
        "                self._former[run_id, owner] = now + self._broker.settings.lease\n",
        "                pass\n",
        tests="tests/unit/server/test_relay.py",
    ),
    Fault(
        "SERVERS-146",
        "a hello that was meant for the server before at an address is taken",
        BROKER,
        '    if broker._place and f"{hello.place}." != broker._place:\n',
        "    if hello.place is None:\n",
        tests="tests/unit/server/test_relay.py",
    ),
    Fault(
        "SERVERS-146",
        "results for runs of other servers are recorded nowhere",
        LINK,
        "            results=report.results,\n",
        "            results=[],\n",
    ),
    Fault(
        "SERVERS-146",
        "orders to stop end at the server between",
        LINK,
        "        if orders.stop:\n            await self._source.stop(orders.stop)\n",
        "        pass\n",
        tests="tests/unit/server/test_relay.py",
    ),
    Fault(
        "SERVERS-146",
        "on the way to another server an old message closes a gap of a log",
        "adapters/brokers/log_gate.py",
        "                one.wanted = max(one.wanted, end) if end < one.sent else None\n",
        "                one.wanted = None\n",
        tests="tests/unit/server/test_logs.py",
    ),
    Fault(
        "SERVERS-146",
        "secrets of what is to stop are refused, so that it is an Error",
        BROKER,
        '            if held is not None and held.state == "stopping":\n',
        '            if held is not None and held.state == "gone":\n',
        tests="tests/unit/server/test_relay.py",
    ),
    Fault(
        "SERVERS-150",
        "what was taken and no worker begins does not go back",
        RELAYS,
        "            if is_waiting and now < one.at + PLACED_US:\n",
        "            if is_waiting:\n",
        tests="tests/unit/server/test_relay.py",
    ),
    Fault(
        "SERVERS-150",
        "what a server took is offered to a third one",
        "fleet/membership.py",
        "        if work is None or work.number:\n",
        "        if work is None:\n",
        tests="tests/unit/server/test_relay.py",
    ),
    Fault(
        "SERVERS-150",
        "a session is given more than it has room for",
        "fleet/membership.py",
        "        session.take(delivery.work.need.slots)\n",
        "        pass\n",
    ),
    Fault(
        "SERVERS-150",
        "a worker is given twice what it has room for",
        "fleet/sessions.py",
        "            if self.used.get(kind, 0) + amount > total:\n",
        "            if self.used.get(kind, 0) + amount > total * 2:\n",
    ),
    Fault(
        "SERVERS-148",
        "what is asked at another server is answered as done, and not done",
        "engine/leases.py",
        "                driver.put(run, to_event(run.state, question), answer)\n",
        "                answer.set_result(None)\n",
    ),
    Fault(
        "SERVERS-146",
        "a link ends while something is held by it",
        RELAYS,
        " if self._used[one] <= due and not self.held(one)]:",
        " if self._used[one] <= due]:",
        tests="tests/unit/server/test_relay.py",
    ),
    Fault(
        "SERVERS-146",
        "what a server said before its workers brought more takes that away",
        "fleet/membership.py",
        "    if number and number <= session.said:\n",
        "    if number and number < 0:\n",
        tests="tests/unit/fleet/test_machine.py",
    ),
    Fault(
        "SERVERS-141",
        "a worker that reports nothing but logs is given up",
        BROKER,
        "        self._send(e.WorkerHeard(self.clock.now(), name))  # its",
        "        pass  # its",
        tests="tests/unit/server/test_logs.py",
    ),
)
