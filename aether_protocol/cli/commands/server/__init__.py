"""Commands for many machines: the server, its workers, and what judges a worker."""
