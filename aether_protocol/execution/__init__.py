"""How an attempt is carried out, wherever that is: in the engine's process by the local broker, or by a worker elsewhere.

**An assignment** comes in complete (`ports.wire.TaskAssignment`), with references in place of secrets. `slots` knows which
attempts are here: one of each task run, those that exceed the limit in a queue by priority. Quick executors are called at once;
the others get a runner (`runner`), a long-lived asyncio task, so that an attempt costs no task of its own. Code that blocks
runs in `threads`, which are daemons: code that never returns keeps no program from ending.

**An attempt** (`attempt`) goes through the same steps everywhere: `secrets` fills in what the references name, off the event
loop where a provider blocks; `workspace` makes an empty folder of its own; `staging` lays the input artifacts there; the
executor is called with copies and a `context`; output artifacts are kept; `masking` hides every secret of the run in results,
messages and logs, also one that is cut in two between pieces of a log. Whatever an executor does (raises, returns nonsense,
cancels itself) becomes a result of its own attempt.

**A stop** cancels the runner or tells the thread; the attempt keeps its slot until it has ended or the grace is over. The next
attempt of that task run waits for the same: no attempt runs beside an earlier one.

**A full machine** (no descriptors, no processes, no memory) is not an error of an attempt: it waits in `capacity` and begins
again.

**Virtual time** waits for `activity`: how many attempts run and do not sleep on the clock.

Modules by role:

    attempts     attempt, context, summary, slots, runner, threads, activity, bounded
    secrets      secrets, masking, sealing
    files        workspace, folders, private, staging
    machine      capacity, descriptors
"""
