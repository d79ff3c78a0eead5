"""Deterministic simulation: random workflows on real engines, with a virtual clock, a store and a broker that fail.

A seed gives a scenario: a generated document, how many engines, which store, where the workers are, how often what fails. A
world plays it: time moves when nothing else can run, chance decides at each call of the store and each message whether it
fails, and whatever happens is judged by laws as it happens (no stale owner writes, nothing is dispatched before it is stored,
secrets stay hidden, ...). When the run is over, its record is replayed and compared with the live state, and with the same
scenario without faults. A scenario that breaks a law is shrunk to a small one that still breaks it.

Law: a seed gives the same run on every machine. `python -m aether_protocol.testing.simulation --seed N` repeats one.

Modules by role:

    scenarios          world, schedules, document_generator, fleet
    what they share    base_world, loop, process, store, workers, local_broker, artifacts
    faults             chaos, hints
    judging            oracles
    playing            play, shrink, __main__
"""
