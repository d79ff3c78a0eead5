"""The way of an attempt out of the engine and back.

The commands of stored entries are carried out (`command_runner`): an attempt becomes a Delivery, which waits here until its
broker has room for it and takes it (`deliveries`), or is carried out by the engine itself, at its own site. What brokers say of
it comes back through their sink (`reports`) and becomes an event in the inbox of the loop. A result of a run that this engine
does not have is acknowledged once nothing can want it (`late_results`); logs of it are stored all the same (`late_logs`).
"""
