"""Between the servers of a store: what workers of one have of runs that another one drives.

A worker talks to one server, and a run may be driven by another: its own died and another took the run over, or the run was
handed on. **A server is then a worker of the other one**, by the worker protocol: it says hello with what its workers hold of
the other's runs, beats for them, and passes on what they report, unchanged and at once. It keeps nothing: results and logs stay
at their worker until the driving server has acknowledged them. So the fleet of the driving server finds the attempts as those
of any worker that comes back, and stops, deaths, results and logs go the way that they always go.

`whole_fleet` asks all servers about their workers and what waits for them (`peer_questions`), so that each answers operators
for the whole installation; `whereabouts` asks them for attempts of runs that came from another server.

`relays` finds out which deliveries are of whose runs, keeps a `link` to each of these servers, and stops what this server
cannot vouch for any longer. `peers` is the way over HTTP.

**Leases.** The session of a server that relays lives for two leases, that of its worker for one. So where the link is away for
0.9 of a lease and the attempts are stopped, even a worker that cannot be reached has ended its work by itself before the
driving server gives it to another one.
"""
