"""Telemetry: wrappers that measure and trace ports, without a vendor.

Theory: an observed port is that port with another object before it. `Measured(store, meter)` and `Traced(broker)` keep
the contracts of what they wrap; the loop does not know that they are there. `RunMetrics` and `RunSpans` watch the steps that an
engine stores; `prometheus` and `otlp` alone know a vendor's library.
"""
