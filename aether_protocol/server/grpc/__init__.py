"""gRPC: the services of schemas/aether.proto, beside HTTP and with the same rules. Needs the extra `[grpc]`, but for `front`.

A call is answered as a request over HTTP is: its caller is found by the token in its metadata (`authorization: Bearer ...`),
the method's need is held against the caller's roles, and a client of that caller, or the calls of that worker, do the rest.
Nothing that decides anything is here: an edge translates.

`front` is the port that others see. It tells HTTP/1.1 from the preface of HTTP/2 and gives each connection to what speaks it,
so that one address serves both, also under TLS. The gRPC server itself listens on a socket of this process's own, which no
other user of the machine can reach.

grpcio runs threads: nothing here may fork without exec, and nothing does (workers are started as programs).

    ports       port, front, edge, health
    methods     methods, clients, workers, operators
    calls       callers, statuses
"""
