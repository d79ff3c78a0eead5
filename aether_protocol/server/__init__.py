"""The server: what the service layer and the fleet can do, over HTTP.

Routes hold no rules. Each reads a message, asks `service.Client` or the broker for workers, and writes the answer; what can be
done here can be done with the Client in Python too. Errors are problem documents (RFC 9457) with our diagnostics inside, made
in one place from the errors by culprit (`problems`).

Every request passes the `gate` first, which says whether it may come from where it comes from, and who asks. What callers may
do is said in two places alone: each route declares which role it needs (`access`), and the client that a route gets answers
for the caller's namespaces only (`service.access`).

`parts` says what a server is made of; `access` has what routes can demand of callers, and gives each request the client of
its caller; `app.make_app` puts routes and parts together. All of it needs the extra `[server]` (Litestar, uvicorn).
"""
