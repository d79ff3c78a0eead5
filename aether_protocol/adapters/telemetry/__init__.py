"""Telemetry: wrappers that measure and trace ports, without a vendor.

Theory: an observed port is that port with another object before it. `Measured(store, meter)` and `Traced(broker, tracer)` keep
the contracts of what they wrap and change nothing else; the loop does not know that they are there.
"""
