"""Deterministic simulation: random workflows on real engines, with a virtual clock, a store and a broker that fail.

Law: a seed gives the same run on every machine. `python -m aether_protocol.testing.simulation --seed N` repeats one.
"""
