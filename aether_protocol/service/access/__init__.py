"""Who asks, and what this caller may ask: callers, their tokens, and the client that answers for their namespaces alone.

Theory of operation. An edge (HTTP, later gRPC) turns the credentials of a request into a `Caller` by an `Authenticator`. What
a caller may do is decided in two places: the edge declares for each of its routes which role it needs at the least, and the
guarded client wraps a client and answers for the caller's namespaces alone. A namespace is a tenant: what is in one that the
caller has no role in is unknown to the caller, with the same words as what does not exist at all.

A guarded client has a table of what each method needs. Which namespaces it reads and writes is asked of the scope by the store
below it: a `ScopedStore` is one in which others are not there, so that lists, hints, templates and pages are right without a
filter in any of them.

Map: `caller` has roles and callers; `authenticator` says whose token a text is, `tokens` makes and knows those of a store,
`administration` looks after them, namespaces and the audit. `guarded` is the client of a caller, `scope` says which namespaces
it reads and writes, `scoped_store` holds it to them, `audit` writes down what it changes.
"""
