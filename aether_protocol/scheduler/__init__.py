"""The scheduler: a pure machine. Events go in, facts and commands come out; the run's state is what the facts add up to.

**Events** (`events`) say what happened outside: a run was submitted, an attempt started, ended or was lost, a timer fired,
a person resumed or cancelled. They bring everything that a rule may not find out by itself: the time, ids, the random seed.

**`Machine.handle(event)`** is the only door. A rule looks at the state and records **facts** (`facts`: what is so now) and
**commands** (`commands`: what the engine is to do: dispatch an attempt, stop one, set or clear a timer, continue, close).
Both leave as one `LogEntry`. The engine stores the facts before it carries the commands out; a command is complete in itself
and may be carried out twice. An event that changes nothing (late, double, for an earlier attempt) gives no facts and takes
no number. The same events give the same facts, always.

**State** (`state`, `nodes`) is a tree of nodes, one for each task run, container, iteration and hook run, numbered in the
order in which they were made. Only `evolve` writes to it, one function a kind of fact. Rules therefore cannot change a run
in a way that replay would not repeat.

**Cost.** Handling an event costs the same in a run of 10 tasks and of 100 000. Containers count what rules ask about
(live, queued, suspended, succeeded, failed children; the worst end so far and its culprit), a dag knows for each task how
many dependencies are open and which tasks depend on it (integer lists), and the state counts leaves and live hooks. No rule
walks siblings or the document. `invariants` recounts everything from the nodes, at the end of every pure test.

**The ready queue** holds container and index of children that may start, oldest first (in two columns: a pair for each of
100 000 tasks would be as much work for the collector as the tasks themselves). Facts that make work ready push to it,
`NodeCreated` pops, so that what is still to be started follows from the facts. A step starts at most `START_LIMIT` children
and then asks to `Continue`: a fan-out of 100 000 never blocks the engine, and a cancel gets in between. Of a container that
was ended from above the entries stay in the queue and are passed over at its head, because to remove them at once would
cost the whole queue for each container.

**Order inside a step.** Rules first; what they make ready is started; hooks that they requested are fired last, by the
machine, so that rules and hooks do not call each other. An end travels upward (`containers.settle`); only an end that comes
from above (a timeout, a cancel) travels down (`containers.impose`).

**Replay** (`evolve.replay`) applies recorded facts: no rules, no expressions, no clock. An engine whose rules have changed
reads older runs. `codec` writes log entries, `snapshot` a whole state, so that a long run opens without its entries.

**Recovery** goes through the same door. After replay and `invariants.check`, `outstanding` derives from the state what was
ordered and has not come back: timers and continuations are issued again, attempts that are gone are reported as
`AttemptLost` events and repeated under the same number.

**Where the hot path takes a shorter way.** `StepBuilder.emit` appends a fact and applies it through a table. Five places do
the same two things themselves, because the look-up and the call cost a tenth of a task (bench/bench_core.py): making a node
(`Machine._make`), dispatching (`tasks.dispatch`), a confirmed start (`tasks.running`), an end (`StepBuilder.end`), an end that
is the first word of the start (`tasks.finished`). What nearly always happens at once is one fact: that a leaf is made and
dispatched (`NodeCreated.attempt`), and that it started and ended (`NodeEnded.started`); `facts.unfold` tells the two apart for
those that look on. The
machine itself sets the run's time and its entry number (`state.now`, `state.seq`), which every entry carries. After an
exception the state may be ahead of the log: the caller drops the machine and recovers the run from the store.

Modules by role:

    values     attempts, events, facts, commands, transitions, timing
    state      state, nodes, evolve, invariants
    door       machine, step_builder
    rules      tasks, containers, loops, hooks
    data       sources, binding, name_resolution, assignments
    records    codec, snapshot
    recovery   outstanding, carry_over
"""
