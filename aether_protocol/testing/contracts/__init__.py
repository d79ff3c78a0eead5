"""Contract suites: what every adapter of a port must pass. Subclass one in a test file, say how to make the adapter."""
