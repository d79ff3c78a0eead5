"""Adapters: what implements a port with one technology each, in families that do not know each other.

`stores` keep runs, `brokers` bring attempts to workers, `executors` do the work of a task, `secrets` give texts by name, and
`artifacts` keep and fetch files. An adapter knows its port and its technology, not the engine; `assembly` puts them together.
Whatever goes wrong outside is raised as PortError with what the user can do about it. `testing.contracts` has the suite that an
adapter of each port has to pass.
"""
