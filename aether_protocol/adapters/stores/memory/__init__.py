"""The memory store: the same answers as a durable store gives, within one process and for as long as it lives.

Runs are kept as the objects that they are; the tiers that keep text write what a durable store would write, for tests that
replay it.
"""
