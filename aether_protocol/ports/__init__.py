"""Ports: what the engine asks of the outside, as Protocols of few methods, and the types that go over them.

Law: nothing here does anything. Each Protocol says what it may raise (`PortError` and nothing else unless told).
"""
