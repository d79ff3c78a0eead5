"""The executors that come with the package: what carries out one attempt of a task, by type.

Theory: an executor declares what it takes and gives (`plan.executors.ExecutorType`) and carries out an assignment with a
context; it knows nothing else. Programs (`script`, `process`) run in a process group of their own, guarded against an engine
that dies; what they write comes back in files and streams. The others are a page each.

Modules by role:

    programs                script, program_task, child_process, orphan_guard, limits
    what programs exchange  io_files, files, streams, outputs, results
    calls                   function, http
    waiting                 wait
    for tests and tries     echo, fail, noop
"""
