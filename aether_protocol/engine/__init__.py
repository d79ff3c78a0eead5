"""The engine: carries out what the scheduler orders. Effects, but no vendor: everything outside comes through a port."""
