"""Deterministic simulation of a fleet: servers, each with a real engine, the real broker for workers and the real fleet;
workers with the real supervisor, on clocks that run differently; and a network that loses, doubles and delays messages.

`world` has one server that is restarted; `servers` several on one store, which are cut off from it and taken for gone, too.

A seed gives runs of several namespaces, workers with labels and slots, and faults: partitions of one way or both, machines and
servers that freeze, are killed and come back, children that die, drains, upgrades, a vault that is away; between servers bells,
hints of the store and links that are lost. The laws (`laws`, `server_laws` of each server, `between_laws` and `commands` of
all) are judged at each message, each decision of the fleet and each moment at which nothing moves; the records as in the other
worlds.

Law: a seed gives the same on every machine: `python -m aether_protocol.testing.simulation --fleet --seed N`
(`--servers` for several) repeats one.
"""
