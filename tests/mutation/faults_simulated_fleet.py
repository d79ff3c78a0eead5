"""Faults in what carries attempts to workers and back: the fleet, its broker, the supervisor. The simulation of a fleet must
notice each.

Law: see faults.py. `rule` is FLEET and the number of the law that is broken, as `testing.simulation.fleet.laws` has them;
another law that is reported first counts.
"""

from __future__ import annotations

from tests.mutation.faults import Fault

ATTEMPTS = "fleet/attempts.py"
MEMBERSHIP = "fleet/membership.py"
QUEUE = "fleet/queue.py"
STATE = "fleet/state.py"
WAITING = "fleet/waiting.py"
REPORTS = "adapters/brokers/worker_reports.py"
SUPERVISOR = "worker/supervisor.py"
HELD = "worker/held.py"
LOG_TESTS = "tests/unit/server/test_logs.py"
FLEET_TESTS = "tests/unit/fleet/test_machine.py"

FAULTS = (
    Fault(
        "FLEET-2",
        "a worker goes on for as long as it likes after its lease",
        SUPERVISOR,
        "stop_at, kill_at = round(lease * STOP_AT), round(lease * KILL_AT)",
        "stop_at, kill_at = lease * 9, lease * 10",
        tests="tests/unit/worker/test_supervisor.py",
    ),
    Fault(
        "FLEET-2",
        "a server gives attempts away before the lease has ended",
        MEMBERSHIP,
        "if session.lease_end <= event.at:",
        "if session.lease_end <= event.at + 20_000_000:",
        tests="tests/unit/fleet/test_machine.py",
    ),
    Fault(
        "FLEET-2",
        "an attempt is offered while the earlier one of its task run still stops",
        ATTEMPTS,
        "            fleet.waiting.hold_behind(work)\n        elif (until",
        "            fleet.queue(work)\n        elif (until",
    ),
    Fault(
        "FLEET-2",
        "after a restart the next attempt is offered while an absent worker may carry out the one before",
        ATTEMPTS,
        "            fleet.strays[ref.task_run_id] = event.at + fleet.settings.reattach\n",
        "            pass\n",
        tests="tests/unit/fleet/test_machine.py",
    ),
    Fault(
        "FLEET-3",
        "what a process does not show any more waits for the lease of its earlier session",
        MEMBERSHIP,
        "== process and one.number < session.number:",
        "== process and one.number > session.number:",
        tests="tests/unit/fleet/test_machine.py",
    ),
    Fault(
        "FLEET-2",
        "a restarted server does not wait for workers that may have it",
        "fleet/machine.py",
        "            elif not state.expects or now >= self._asked.setdefault(ref, now) + state.settings.reattach:\n",
        "            else:\n",
    ),
    Fault(
        "FLEET-3",
        "what never arrived at a worker is forgotten",
        MEMBERSHIP,
        "                fleet.queue(delivery.work, first=True)\n        else:\n",
        "                pass\n        else:\n",
    ),
    Fault(
        "FLEET-3",
        "what a lost worker had is not reported",
        STATE,
        "            self.emit(c.ReportLost(ref, reason, blamed=False))",
        "            pass",
    ),
    Fault(
        "FLEET-4",
        "a slot that became free is not noticed",
        STATE,
        "                session.release(work.need.slots)\n                self.waiting.mark_ready(session)\n",
        "                pass\n",
    ),
    Fault(
        "FLEET-5",
        "the lowest priority is first",
        QUEUE,
        "            insort(self._priorities, -priority)",
        "            self._priorities.insert(0, -priority)",
    ),
    Fault(
        "FLEET-6",
        "a namespace that was served stays in front",
        QUEUE,
        "        turn.left -= 1\n        if turn.left <= 0:\n",
        "        if turn.left <= 0:\n",
    ),
    Fault(
        "FLEET-7",
        "an assignment goes out with its secrets filled in",
        "execution/masking.py",
        "        if isinstance(value, str):\n            return self.text(value)\n        if isinstance(value, Mapping):",
        "        if isinstance(value, str):\n            return value\n        if isinstance(value, Mapping):",
    ),
    Fault(
        "FLEET-8",
        "a worker that drains leaves while it has work",
        SUPERVISOR,
        "return self._drain_until is not None and not self.held and self._outbox.is_empty()",
        "return self._drain_until is not None",
    ),
    Fault(
        "FLEET-8",
        "what is returned counts as lost by its own fault",
        HELD,
        "            self._outbox.add_returned(ReturnedReport(token=token, reason=reason, refused=refused))",
        "            self._outbox.add_died(DiedReport(token=token, reason=reason))",
    ),
    Fault(
        "FLEET-9",
        "an order to stop is given once",
        MEMBERSHIP,
        '        elif known.state == "stopping" and again:\n'
        "            fleet.emit(c.Stop(session.name, number, one.ref))  # the first order may be lost\n",
        "",
    ),
    Fault(
        "FLEET-10",
        "a result is called recorded before it is",
        REPORTS,
        "receipt.recorded = [*recording.recorded]",
        "receipt.recorded = [*recording.recorded, *recording.open]",
    ),
    Fault(
        "FLEET-12",
        "what comes twice of a log is written twice",
        "ports/wire.py",
        "    return text if offset >= seen else",
        "    return text if offset >= 0 else",
        tests=LOG_TESTS,  # the store keeps it once all the same
    ),
    Fault(
        "FLEET-12",
        "what follows a lost piece of a log is stored before it comes again",
        "adapters/brokers/worker_logs.py",
        "        if start > gap.wanted:\n            gap.end",
        "        if start > gap.wanted + 2**40:\n            gap.end",
    ),
    Fault(
        "FLEET-12",
        "what came while the store refused a piece of a log is stored without it",
        "engine/logs.py",
        "            lines += [line for line in self.pending if line.delivery]\n            parts += self._parts\n"
        "            self.pending, self._parts = [line for line in self.pending if not line.delivery], []\n",
        "",
        tests=LOG_TESTS,
    ),
    Fault(
        "FLEET-12",
        "what is looked up while the store refuses a piece of the same log is stored without it",
        "engine/dispatch/late_logs.py",
        "        logs.losses.append(self._lose)\n",
        "",
        tests=LOG_TESTS,
    ),
    Fault(
        "FLEET-12",
        "a piece of a log that was lost is acknowledged with a later one",
        "adapters/brokers/worker_logs.py",
        "        if gap is not None and gap.wanted < start:",
        "        if gap is not None and start < 0:",
        tests=LOG_TESTS,
    ),
    Fault(
        "FLEET-12",
        "logs of a run that has ended have no place at the next server",
        "engine/dispatch/reports.py",
        "            self._late_logs.take(ref, stream, text, offset or 0, part)\n",
        "            pass\n",
    ),
    Fault(
        "FLEET-12",
        "logs of a session that another server had are taken, in whatever order they come",
        REPORTS,
        "        for log in report.logs if in_session else ():",
        "        for log in report.logs:",
        tests=LOG_TESTS,
    ),
    Fault(
        "FLEET-9",
        "what follows a result that its worker keeps waits for as long as that says hello",
        MEMBERSHIP,
        "        if delivery.number not in event.results:\n",
        "        if delivery.number not in ():\n",
        tests=FLEET_TESTS,
    ),
    Fault(
        "FLEET-3",
        "a result that is promised is waited for for ever",
        MEMBERSHIP,
        "            fleet.promised[delivery.number] = event.at + fleet.settings.lease\n",
        "            pass\n",
        tests=FLEET_TESTS,
    ),
    Fault(
        "FLEET-2",
        "after a restart a later attempt is given out while an absent worker may carry out the one before",
        ATTEMPTS,
        "    return max(until, fleet.young_until)\n",
        "    return until\n",
        tests=FLEET_TESTS,
    ),
    Fault(
        "FLEET-11",
        "what a worker carries out of a run that has ended goes on",
        "engine/dispatch/reports.py",
        "            self._stranger(ref.run_id, unwanted)\n",
        "            pass\n",
        tests="tests/unit/engine/test_delivery.py",
    ),
    Fault(
        "FLEET-11",
        "the last result of a run that was given up is sent for ever",
        "engine/dispatch/reports.py",
        "                if run is None or run.error is not None:  # nothing",
        "                if run is None:  # nothing",
        tests="tests/unit/engine/test_delivery.py",
    ),
    Fault(
        "FLEET-2",
        "work that arrives after the lease is begun all the same",
        SUPERVISOR,
        "            if not late and self.held.add(item.token, item.assignment):",
        "            if self.held.add(item.token, item.assignment):",
        tests="tests/unit/worker/test_supervisor.py",
    ),
    Fault(
        "FLEET-12",
        "a worker that stops an attempt is answered at once, again and again",
        MEMBERSHIP,
        'elif known.state == "stopping" and again:',
        'elif known.state == "stopping":',
    ),
    Fault(
        "FLEET-13",
        "attempts are blamed for the death of their worker",
        STATE,
        "self.emit(c.ReportLost(ref, reason, blamed=False))",
        "self.emit(c.ReportLost(ref, reason, blamed=True))",
    ),
)
