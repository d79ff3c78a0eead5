"""Attempts in the processes of other engines: what a call in a pool of processes, or a task of a cluster, carries out.

Another engine gives a call to one of its workers; the call is a function here. It must not carry an attempt out itself: a
thread that runs cannot be stopped, and what ends the process (memory that runs out, a crash in C) would end all that the
engine's worker has besides. So each process of such an engine has one **host** (`host`): an event loop in a thread of its own,
with the same children that our workers have (`worker.processes`). The call waits for its attempt, whose start, logs and
progress go back while it runs, by whatever way that engine has: `link` is a socket on one machine, for the executors of
`concurrent.futures`; `dask_task` says it by events of dask.distributed.

Law: these processes know no server. Secrets come from their own providers (the environment and the configuration of
that process), and artifacts from a repository that the engine names by URL.
"""
