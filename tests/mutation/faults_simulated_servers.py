"""Faults in what several servers on one store do together: shares, takeovers, relays, offers, commands. The simulation of
several servers must notice each.

Law: see faults.py. `rule` is SERVERS and the number of the rule of docs/protocol.md that is broken; whichever law is reported
first counts.
"""

from __future__ import annotations

from tests.mutation.faults import Fault

OWNERSHIP = "server/sharing/ownership.py"
RELAYS = "server/relay/relays.py"
LINK = "server/relay/link.py"
BROKER = "adapters/brokers/workers.py"
FACETS = "adapters/stores/memory/facets.py"

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
    ),
    Fault(
        "SERVERS-146",
        "the server that drove a run before sees nothing of it any more",
        RELAYS,
        "                self._former[run_id, owner] = now + self._broker.settings.lease\n",
        "                pass\n",
    ),
    Fault(
        "SERVERS-146",
        "a hello that was meant for the server before at an address is taken",
        BROKER,
        '    if broker._place and f"{hello.place}." != broker._place:\n',
        "    if hello.place is None:\n",
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
    ),
    Fault(
        "SERVERS-146",
        "on the way to another server an old message closes a gap of a log",
        "adapters/brokers/log_gate.py",
        "                one.wanted = max(one.wanted, end) if end < one.sent else None\n",
        "                one.wanted = None\n",
    ),
    Fault(
        "SERVERS-146",
        "secrets of what is to stop are refused, so that it is an Error",
        BROKER,
        '            if held is not None and held.state == "stopping":\n',
        '            if held is not None and held.state == "gone":\n',
    ),
    Fault(
        "SERVERS-150",
        "what was taken and no worker begins does not go back",
        RELAYS,
        "            if is_waiting and now < one.at + PLACED_US:\n",
        "            if is_waiting:\n",
    ),
    Fault(
        "SERVERS-150",
        "what a server took is offered to a third one",
        "fleet/membership.py",
        "        if work is None or work.number:\n",
        "        if work is None:\n",
    ),
    Fault(
        "SERVERS-150",
        "a session is given more than it has room for",
        "fleet/membership.py",
        "        session.take(delivery.work.need.slots)\n",
        "        pass\n",
    ),
    Fault(
        "SERVERS-148",
        "what was asked and carried out is never answered",
        FACETS,
        "    async def answered(self, id_: int, answer: Json) -> None:\n",
        "    async def answered(self, id_: int, answer: Json) -> None:\n        return\n",
    ),
    Fault(
        "SERVERS-148",
        "a question that an engine was given can be withdrawn",
        FACETS,
        "        return id_ not in self._given and self._requests.pop(id_, None) is not None\n",
        "        return self._requests.pop(id_, None) is not None or True\n",
    ),
)
