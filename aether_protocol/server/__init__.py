"""The server: what the service layer and the fleet can do, over HTTP.

Routes hold no rules. Each reads a message, asks `service.Client` or the broker for workers, and writes the answer; what can be
done here can be done with the Client in Python too. Errors are problem documents (RFC 9457) with our diagnostics inside, made
in one place from the errors by culprit (`problems`).

`app.make_app` puts the parts together. It needs the extra `[server]` (Litestar, uvicorn).
"""
