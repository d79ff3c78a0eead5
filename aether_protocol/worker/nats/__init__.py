"""A worker behind NATS: one pool of processes, and one supervisor for each engine that has given it work.

An engine is met through a ticket (`adapters.brokers.nats`): then a supervisor says hello to it and asks for work, as over HTTP,
and stays as long as it holds something of that engine. The slots are shared: who has its turn gets an equal part of what is
free. Secrets come from this worker's own providers.

    process    what `aether worker --broker nats://...` runs
    engines    which engines are there
    transport  the way to the engines of one store
    slots      the shared slots and the shared pool
"""
