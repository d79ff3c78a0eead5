"""Faults in what makes runs durable: engine, stores, recovery, mailbox, leases, local broker. The simulation must notice each.

Law: see faults.py. `rule` is the law of the simulation that is broken, in a word; another law that is reported first counts.
"""

from __future__ import annotations

from tests.mutation.faults import Fault

DRIVER = "engine/loop.py"
KEEPER = "engine/leases.py"
PASSIVATION = "engine/passivation.py"
SNAPSHOTS = "engine/snapshots.py"
RECOVERY = "engine/recovery.py"
MAILBOX = "engine/mailbox.py"
MEMORY = "adapters/stores/memory/facets.py"
SHARED = "adapters/stores/memory/store.py"
LEASES = "adapters/stores/sqlite/leases.py"
RUNS = "adapters/stores/sqlite/runs.py"
LOCAL = "adapters/brokers/local.py"
SLOTS = "execution/slots.py"
LEAF = "scheduler/tasks.py"
EVOLVE = "scheduler/evolve.py"
OUTSTANDING = "scheduler/outstanding.py"
SNAPSHOT = "scheduler/snapshot.py"

FAULTS = (
    # --- the engine ---
    Fault(
        "stored",
        "commands go out before their step is stored",
        DRIVER,
        '        batch = [_append(run) for run in touched if run.error is None]\n',
        '        batch = [_append(run) for run in touched if run.error is None]\n'
        '        self._commands.carry_out([(run, list(run.steps)) for run in touched if run.error is None])\n'
        '        await self.deliveries.flush()\n',
    ),
    Fault(
        "stored",
        "a run whose steps were refused goes on",
        DRIVER,
        "                if run.id in refused:\n                    self.abandon(run, refused[run.id])\n",
        "                if run.id in refused:\n                    pass\n",
    ),
    Fault(
        "stored",
        "a run whose steps could not be written goes on",
        DRIVER,
        '        except Exception as error:  # the states are ahead of the log now: no engine may continue from them\n'
        '            for run in touched:\n'
        '                self.abandon(run, error)\n'
        '            return\n',
        '        except Exception as error:\n'
        '            self._stored(touched, {})\n'
        '            return\n',
    ),
    Fault(
        "time",
        "a clock that was set back takes a run back",
        DRIVER,
        "at, then = now + run.skew_us, run.state.now",
        "at = then = now",
    ),
    Fault(
        "ends",
        "attempts under way at a crash are forgotten",
        DRIVER,
        "            if node.id in gone:\n                self.put(run, AttemptLost(",
        "            if node.id in ():\n                self.put(run, AttemptLost(",
    ),
    Fault(
        "ends",
        "timers are forgotten by a crash",
        DRIVER,
        '"recovery", [], commands)',
        '"recovery", [], [c for c in commands if not isinstance(c, SetTimer)])',
        tests="tests/unit/engine/test_recovery_time.py",
    ),
    Fault(
        "time",
        "a recovery is told to be through before overdue timers are dealt with",
        DRIVER,
        '        for timer in late:\n'
        '            self.put(run, TimerFired(NO_TIME, timer.node, timer.kind, timer.due, "timer"))\n',
        '        commands += late\n',
        tests="tests/unit/engine/test_recovery_time.py",
    ),
    Fault(
        "time",
        "who waits for a pause is told before the recovery is through",
        DRIVER,
        "        run.recovering = True\n",
        "",
        tests="tests/unit/engine/test_recovery_time.py",
    ),
    Fault(
        "time",
        "a record from the future waits for the clock",
        DRIVER,
        "            run.skew_us += by_us\n",
        "",
        tests="tests/unit/engine/test_recovery_time.py",
    ),
    Fault(
        "time",
        "a clock that is set back leaves the timers where they are",
        DRIVER,
        "            self._timers.set_back(seen - now)\n",
        "",
        tests="tests/unit/engine/test_recovery_time.py",
    ),
    Fault(
        "time",
        "a sleep begins again",
        LEAF,
        "        assignment.elapsed_us = state.now - node.attempt_began_at\n",
        "        assignment.elapsed_us = 0\n",
        tests="tests/unit/engine/test_recovery_time.py",
    ),
    Fault(
        "time",
        "a sleep that goes on gets a new time limit",
        EVOLVE,
        "if not (node.payloads or fact.goes_on):",
        "if not node.payloads:",
        tests="tests/unit/engine/test_recovery_time.py",
    ),
    Fault(
        "time",
        "a later attempt counts from the first start",
        EVOLVE,
        "    if node.started_at is not None:\n        node.began_at = NEVER  # type: ignore[attr-defined]\n",
        "",
        tests="tests/unit/engine/test_recovery_time.py",
    ),
    Fault(
        "blame",
        "the death of an engine is blamed on its attempts",
        DRIVER,
        '"recovery", goes_on=goes_on(node))',
        '"recovery", True, goes_on(node))',
        tests="tests/unit/engine/test_recovery_sharing.py",
    ),
    Fault(
        "blame",
        "blamed losses are repeated for ever",
        LEAF,
        "losses = node.losses + event.blamed",
        "losses = node.losses",
        tests="tests/unit/scheduler/test_losses.py",
    ),
    Fault(
        "blame",
        "every loss is blamed",
        LEAF,
        "losses = node.losses + event.blamed",
        "losses = node.losses + 1",
        tests="tests/unit/scheduler/test_losses.py",
    ),
    Fault(
        "blame",
        "another attempt inherits the blame",
        EVOLVE,
        "        node.losses = 0  # type: ignore[attr-defined]\n",
        "        pass\n",
        tests="tests/unit/scheduler/test_losses.py",
    ),
    Fault(
        "breaks",
        "a run that breaks its engine is not told of",
        KEEPER,
        "        self._broke.append((run_id, token, ended, reason))\n",
        "        return\n",
        tests="tests/unit/engine/test_recovery_breaks.py",
    ),
    Fault(
        "breaks",
        "a run that was set aside is claimed all the same (SQLite)",
        LEASES,
        '    "AND NOT EXISTS (SELECT 1 FROM breaks WHERE run = number AND aside = 1)"\n',
        "",
        tests="tests/unit/engine/test_recovery_breaks.py",
    ),
    Fault(
        "ends",
        "what is still to be started is forgotten by a crash",
        OUTSTANDING,
        "    if state.ready:\n        commands.append(Continue(cause))\n",
        "",
        tests="tests/unit/engine/test_recovery.py",
    ),
    Fault(
        "ends",
        "hooks half run are forgotten by a crash",
        OUTSTANDING,
        "if isinstance(n, TaskNode) and _is_out(n)]",
        "if isinstance(n, TaskNode) and n.hook is None and _is_out(n)]",
    ),
    Fault(
        "ends",
        "a run whose requests cannot be read is held and not driven",
        DRIVER,
        "        except AetherError as error:\n            self.abandon(run, error)\n            raise\n",
        "        except AetherError as error:\n            return\n",
        tests="tests/unit/engine/test_recovery_sharing.py",
    ),
    Fault(
        "secrets",
        "who goes on with a run does not know the secrets that it told",
        DRIVER,
        "        run.secrets = tuple(sorted(secret_references(state)))\n",
        "",
        tests="tests/unit/engine/test_recovery_sharing.py",
    ),
    Fault(
        "secrets",
        "logs are not masked",
        "execution/context.py",
        "self._write(mask.feed(text), stream)",
        "self._write(text, stream)",
    ),
    Fault(
        "secrets",
        "results are not masked",
        "execution/context.py",
        "if masker is not None:\n            result = sealed(",
        "if False:\n            result = sealed(",
    ),
    # --- recovery ---
    Fault(
        "retries",
        "a loss is charged to retry",
        EVOLVE,
        "    node.losses = fact.losses\n",
        "    node.losses = fact.losses\n    node.retries += 1\n",
    ),
    Fault(
        "attempts",
        "a repeated attempt gets a number of its own",
        EVOLVE,
        "    node.losses = fact.losses\n",
        "    node.losses = fact.losses\n    node.attempt += 1\n",
    ),
    Fault(
        "results",
        "a result for an attempt that is over counts",
        LEAF,
        "isinstance(node, TaskNode) and node.attempt == attempt",
        "isinstance(node, TaskNode)",
        tests="tests/unit/scheduler/test_late_results.py",
    ),
    Fault(
        "replay",
        "a snapshot forgets what is ready",
        SNAPSHOT,
        '        "ready": [(scope.id, index) for scope, index in state.waiting],\n',
        '        "ready": [],\n',
        tests="tests/unit/scheduler/test_cost.py",
    ),
    Fault(
        "replay",
        "a snapshot forgets what was lost",
        SNAPSHOT,
        '"retries", "losses", "payloads",',
        '"retries", "payloads",',
    ),
    Fault(
        "replay",
        "a snapshot forgets hooks that are under way",
        SNAPSHOT,
        '        "hooks": list(state.hooks_live.items()),\n',
        '        "hooks": [],\n',
    ),
    Fault(
        "keys",
        "the key of a task counts its attempts",
        "scheduler/attempts.py",
        '        return f"{self.ref.run_id}:{self.ref.path}"\n',
        '        return f"{self.ref.run_id}:{self.ref.path}:{self.ref.attempt}"\n',
        tests="tests/unit/engine/test_wire.py",
    ),
    # --- leases ---
    Fault(
        "leases",
        "a lease is not looked at (in memory)",
        MEMORY,
        "and (self.holders.get(run_id) == owner or not self.held(run_id))",
        "and True",
    ),
    Fault(
        "leases",
        "a lease is not looked at (SQLite)",
        LEASES,
        "OR NOT coalesce({COUNTS}, 0))",
        "OR coalesce(until, ?) <> ?)",
    ),
    Fault(
        "leases",
        "a change of hands gives no new token (in memory)",
        MEMORY,
        "self.tokens[run_id] = self.tokens.get(run_id, 0) + 1",
        "self.tokens[run_id] = self.tokens.get(run_id, 1)",
    ),
    Fault(
        "leases",
        "a change of hands gives no new token (SQLite)",
        LEASES,
        "                token += holder != owner\n",
        "",
    ),
    Fault(
        "leases",
        "a lease is not renewed",
        KEEPER,
        "        if self._lease_us is None or not (held or self._locks):\n            return\n",
        "        if True:\n            return\n",
        tests="tests/unit/engine/test_recovery_sharing.py",
    ),
    Fault(
        "leases",
        "a lease of seconds is one of milliseconds",
        KEEPER,
        "            lost = await self._store.leases.renew(self.owner, self._lease_us, held)\n",
        "            lost = await self._store.leases.renew(self.owner, self._lease_us // 1_000, held)\n",
        tests="tests/unit/engine/test_recovery_sharing.py",
    ),
    # --- the fence ---
    Fault(
        "fence",
        "a stale token is let through (in memory)",
        SHARED,
        "if run is None or tokens.get(part.run_id, 0) != part.token or self._expected",
        "if run is None or self._expected",
        tests="tests/contracts/test_stores_memory.py",
    ),
    Fault(
        "fence",
        "a stale token is let through (SQLite)",
        RUNS,
        "FROM runs WHERE number = ? AND token = ?",
        "FROM runs WHERE number = ? AND token >= ?",
    ),
    Fault(
        "fence",
        "a stale token is let through where a run saves its state (SQLite, tier snapshot)",
        RUNS,
        "SELECT 1 FROM runs WHERE number=? AND token=?",
        "SELECT 1 FROM runs WHERE number=? AND token>=?",
        tests="tests/contracts/test_stores_sqlite.py",
    ),
    # --- passivation ---
    Fault(
        "ends",
        "a passivated run that is due is not woken (SQLite)",
        LEASES,
        '"woken": (_DUE, _ASKED_FOR),',
        '"woken": (_ASKED_FOR,),',
        tests="tests/unit/engine/test_passivation.py",
    ),
    Fault(
        "lost",
        "a run is put down on tier snapshot although its last step is not saved",
        SNAPSHOTS,
        "return not self._instead or self._saved == state.seq",
        "return True",
        tests="tests/unit/engine/test_passivation.py",
    ),
    # --- the feed of changes ---
    Fault(
        "missed",
        "a number is taken from a block that another process has passed",
        RUNS,
        " AND EXISTS (SELECT 1 FROM feed WHERE reserved = ?)",
        " AND ? >= 0",
        tests="tests/contracts/test_stores_sqlite.py",
    ),
    Fault(
        "missed",
        "a block of numbers is kept whose transaction failed",
        "adapters/stores/sqlite/database.py",
        "        database.numbers.forget()\n",
        "",
        tests="tests/contracts/test_stores_sqlite.py",
    ),
    Fault(
        "missed",
        "a run that goes to sleep takes its last change out of the feed",
        LEASES,
        "                    self._db.numbers.record(execute, number)  # the feed",
        "                    pass  # the feed",
        tests="tests/contracts/test_stores_sqlite.py",
    ),
    Fault(
        "missed",
        "steps alone are appended where the feed does not look",
        RUNS,
        " AND closed = 0 AND wake_at IS NULL AND EXISTS",
        " AND EXISTS",
        tests="tests/contracts/test_stores_sqlite.py",
    ),
    # --- what is kept ---
    Fault(
        "replay",
        "a run is loaded from one step after its snapshot (in memory)",
        SHARED,
        "run.lines[run.saved :], epoch",
        "run.lines[run.saved + 1 :], epoch",
    ),
    Fault(
        "replay",
        "a run is loaded from one step after its snapshot (SQLite)",
        RUNS,
        "saved[1] + 1 if saved is not None",
        "saved[1] + 2 if saved is not None",
    ),
    Fault(
        "lost",
        "a write that was taken for lost is written over (SQLite)",
        RUNS,
        "INSERT OR IGNORE INTO steps",
        "INSERT OR REPLACE INTO steps",
        tests="tests/unit/stores/test_sqlite_files.py",
    ),
    Fault(
        "ends",
        "the end of a run is not written in its row (SQLite)",
        RUNS,
        '_CLOSE: Final = f"{_CHANGE}, closed=1 WHERE',
        '_CLOSE: Final = f"{_CHANGE}, closed=0 WHERE',
    ),
    # --- the mailbox ---
    Fault(
        "requests",
        "a request that was answered is asked again (in memory)",
        MEMORY,
        "        if self._requests.pop(id_, None) is not None:\n            self._answers[id_] = answer\n",
        "        if id_ in self._requests:\n            self._answers[id_] = answer\n",
    ),
    Fault(
        "requests",
        "a request that was answered is asked again (SQLite)",
        LEASES,
        "WHERE answer IS NULL AND owner = ? ORDER BY id",
        "WHERE owner = ? ORDER BY id",
        tests="tests/contracts/test_stores_sqlite.py",
    ),
    Fault(
        "requests",
        "a request that was taken back is carried out (in memory)",
        MEMORY,
        "        return id_ not in self._given and self._requests.pop(id_, None) is not None\n",
        "        return id_ in self._requests\n",
        tests="tests/contracts/test_stores_memory.py",
    ),
    Fault(
        "requests",
        "a request that was taken back is carried out (SQLite)",
        LEASES,
        '"DELETE FROM requests WHERE id = ? AND given = 0 AND answer IS NULL"',
        '"UPDATE requests SET run = run WHERE id = ? AND answer IS NULL"',
        tests="tests/contracts/test_stores_sqlite.py",
    ),
    Fault(
        "requests",
        "a request is told to be done before it is stored",
        DRIVER,
        '                replies.append((run, reply, refused))\n',
        '                give(run, reply, refused)\n',
    ),
    Fault(
        "requests",
        "a cancel is told to be done and is not",
        MAILBOX,
        '    if kind == "cancel":\n'
        '        return CancelRequested(0, "api", str(question.get("reason", "")))\n',
        '    if kind == "cancel":\n'
        '        return ResumeRequested(0, 0, {}, "api")\n',
        tests="tests/unit/engine/test_recovery_sharing.py",
    ),
    # --- the local broker ---
    Fault(
        "slots",
        "one attempt more than there are slots",
        SLOTS,
        "(self.running < self.limit and not self._queue)",
        "(self.running <= self.limit and not self._queue)",
    ),
    Fault(
        "slots",
        "a slot is given back twice",
        SLOTS,
        "            self.running -= 1\n",
        "            self.running -= 1 + attempt.stopped\n",
    ),
    Fault(
        "beside",
        "an attempt that is handed over twice runs twice",
        SLOTS,
        "        return self._here.setdefault(attempt.key, attempt)\n",
        "        self._here[attempt.key] = attempt\n        return attempt\n",
    ),
    Fault(
        "ends",
        "a slot is not given back by what was stopped",
        SLOTS,
        "        if not attempt.slot_released:\n",
        "        if not (attempt.slot_released or attempt.stopped):\n",
        tests="tests/contracts/test_local_broker.py",
    ),
    Fault(
        "wire",
        "the envelope of an assignment counts among the levels of its values",
        "ports/wire_json.py",
        "{name: _own(message[name], what) for name in ROOTS}",
        "_own({name: message[name] for name in ROOTS}, what)",
        tests="tests/contracts/test_wire_secrets.py",
    ),
    Fault(
        "order",
        "a run that goes back to an earlier state keeps its epoch",
        "engine/api.py",
        "state.plan, state, stored.epoch)",
        "state.plan, state, 0)",
        tests="tests/unit/engine/test_recovery_sharing.py",
    ),
    Fault(
        "order",
        "an epoch stays where its owner claims a run once more (SQLite)",
        LEASES,
        "epoch = epoch + (tier = ",
        "epoch = epoch + (owner IS NULL AND tier = ",
        tests="tests/contracts/test_stores_sqlite.py",
    ),
    Fault(
        "order",
        "an older attempt that comes late takes the place of the newer one",
        "scheduler/attempts.py",
        "return (self.epoch, self.attempt) > (other.epoch, other.attempt)",
        "return self != other",
        tests="tests/contracts/test_local_broker.py",
    ),
    Fault(
        "order",
        "an attempt from before a run went back counts as newer for its number",
        "scheduler/attempts.py",
        "return (self.epoch, self.attempt) > (other.epoch, other.attempt)",
        "return (self.attempt, self.epoch) > (other.attempt, other.epoch)",
        tests="tests/contracts/test_local_broker.py",
    ),
    Fault(
        "leases",
        "an engine that loses its lease stops attempts that the next one could have",
        DRIVER,
        "            self.deliveries.release(delivery)\n",
        "            self.deliveries.drop(delivery)\n",
        tests="tests/unit/engine/test_delivery.py",
    ),
    Fault(
        "leases",
        "the local broker keeps what no other engine can reach",
        LOCAL,
        "        await self.stop(refs)  # no other engine can reach them\n",
        "        return\n",
        tests="tests/contracts/test_local_broker.py",
    ),
    Fault(
        "beside",
        "a later attempt begins beside the earlier one",
        LOCAL,
        "        attempt = Attempt(assignment)\n",
        "        attempt = Attempt(assignment)\n        attempt.key += str(attempt.ref.attempt)\n",
        tests="tests/contracts/test_local_broker.py",
    ),
    Fault(
        "acknowledged",
        "a result is acknowledged before it is stored",
        "engine/dispatch/reports.py",
        "        self._put(run, TaskFinished(NO_TIME, delivery.node, result, \"broker\"), stored)\n\n    def ready",
        "        self._put(run, TaskFinished(NO_TIME, delivery.node, result, \"broker\"), None)\n"
        "        if stored is not None:\n            stored()\n\n    def ready",
        tests="tests/unit/engine/test_delivery.py",
    ),
    Fault(
        "acknowledged",
        "what changes nothing is not acknowledged",
        "engine/dispatch/reports.py",
        "            if stored is not None:\n",
        "            if stored is not None and run is None:\n",
        tests="tests/unit/engine/test_delivery.py",
    ),
    Fault(
        "offers",
        "what was refused is forgotten",
        "engine/dispatch/deliveries.py",
        "            heapq.heappush(self._refused, (now + _backoff(delivery.refusals), self._count, delivery))\n",
        "",
        tests="tests/unit/engine/test_delivery.py",
    ),
    Fault(
        "offers",
        "more is handed over than there is room for",
        "engine/dispatch/deliveries.py",
        "while queue and (room is None or len(batch) < room):",
        "while queue:",
        tests="tests/unit/engine/test_delivery.py",
    ),
    Fault(
        "offers",
        "what is cancelled while it waits goes out",
        "engine/dispatch/deliveries.py",
        "            batch = [one for one in batch if not one.dropped]\n",
        "",
        tests="tests/unit/engine/test_delivery.py",
    ),
    Fault(
        "reattach",
        "what a worker still holds is repeated",
        "engine/loop.py",
        'if held != "held" and run.open',
        "if run.open",
        tests="tests/unit/engine/test_delivery.py",
    ),
    # --- the rules that the record is held against ---
    Fault(
        "concurrency",
        "a loop begins with one iteration too many",
        EVOLVE,
        "first = min(scope.target.concurrency or count, count)",
        "first = min((scope.target.concurrency or count) + 1, count)",
    ),
    Fault(
        "dependencies",
        "a task is ready when one dependency is still open",
        EVOLVE,
        "                if not unmet[index]:\n",
        "                if unmet[index] == (len(scope.call.target.tasks[index].dependencies) > 1):\n",
    ),
)
"""At least one for each law that the simulation judges."""
