"""What commands ask a server about its fleet, over HTTP. Every failure is an error by culprit, as everywhere."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Struct

from aether_protocol.cli.command import option
from aether_protocol.cli.configured import configured
from aether_protocol.errors import BusyError, PortError, UsageError

ANSWER_S = 30.0


class ServerOptions(Struct, frozen=True, kw_only=True):
    """Which server is asked."""

    server: Annotated[
        str | None,
        option("--server", metavar="URL", callback=configured("server.url"),
               help="The server, http://HOST:PORT or https://...; by default AETHER_SERVER, or url of [server]."),
    ] = None
    token: Annotated[
        str | None,
        option("--token", envvar="AETHER_TOKEN", metavar="TOKEN",
               help="Yours, where the server wants one. AETHER_TOKEN keeps it out of lists of processes."),
    ] = None


def named_server(server: str | None) -> str:
    """Return the server that is named. Raises UsageError where none is."""
    if server is None:
        raise UsageError("no server is named", hint="--server URL, or AETHER_SERVER; 'aether serve' starts one")
    return server


def ask_server(options: ServerOptions, method: str, path: str, body: Any = None) -> Any:
    """Send a request, and return the answer's body. Raises UsageError, BusyError, PortError."""
    from aether_protocol.cli.serving import require_server
    from aether_protocol.worker.process import check_address

    require_server("--server")
    server = named_server(options.server)
    check_address(server)
    import httpx2 as httpx

    headers = {} if options.token is None else {"authorization": f"Bearer {options.token}"}
    try:
        answer = httpx.request(method, f"{server.rstrip('/')}/v1{path}", json=body, headers=headers, timeout=ANSWER_S)
    except httpx.HTTPError as error:
        raise PortError(f"{server} does not answer: {error or type(error).__name__}", hint="is the server there?") from None
    if answer.is_success:
        return answer.json() if answer.content else None
    raise _error(answer)


def _error(answer: Any) -> Exception:
    """Make the error that a problem document tells."""
    try:
        problem = answer.json()
    except ValueError:
        problem = {}
    if not isinstance(problem, dict):
        problem = {}
    told, hint = str(problem.get("detail") or f"the server answers {answer.status_code}"), problem.get("hint")
    if answer.status_code >= 500 or answer.status_code in (408, 425, 429):
        return PortError(told, hint=hint)
    return BusyError(told, hint=hint) if answer.status_code == 409 else UsageError(told, hint=hint)
