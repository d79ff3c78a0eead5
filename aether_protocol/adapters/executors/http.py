"""`http`: one HTTP request as a task (EXEC-5).

Law: one task is one request. Redirects are not followed: what the address itself answers is the answer, and no header
(tokens above all) goes to an address that the document does not name. The first request loads the client library.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from aether_protocol.adapters.executors.results import read_json
from aether_protocol.errors import why
from aether_protocol.execution.capacity import Patience, Tell, begin, is_full, under_way
from aether_protocol.expressions.values import Json, as_text
from aether_protocol.plan.config_fields import ConfigField
from aether_protocol.plan.executors import ExecutorType, OutputField
from aether_protocol.ports.executor import ExecutionContext, Mode
from aether_protocol.ports.wire import ERROR, TaskAssignment, TaskResult

if TYPE_CHECKING:
    import httpx2

TYPE = ExecutorType(
    "http",
    "Sends one HTTP request. Needs the extra `http`.",
    modules=("httpx2",),
    install="pip install 'aether-protocol[http]'",
    config=(
        ConfigField(
            "method",
            "string",
            "The request method.",
            default="GET",
            enum=("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"),
        ),
        ConfigField("url", "string", "An absolute `http:` or `https:` address.", required=True),
        ConfigField("headers", "object", "Request headers. Numbers and the like are written as in any text.", text=True),
        ConfigField(
            "body",
            "any",
            "Text is sent as it is; any other value is sent as JSON with `content-type: application/json`, unless "
            "`headers` says otherwise.",
        ),
        ConfigField(
            "expectStatus",
            "any",
            "The status, or list of statuses, that is a success. Left out, it is any from 200 to 299.",
        ),
    ),
    outputs=(
        OutputField("status", "integer", "The response's status code."),
        OutputField("headers", "object", "The response's headers by lower-case name; repeated ones joined by `, `."),
        OutputField("body", "string", "The response's body as text, up to 10 MiB."),
        OutputField("json", "any", "The body read as JSON; null where it is none."),
    ),
)

BODY_LIMIT: Final = 10_485_760  # bytes
CONNECT_S: Final = 30.0


class HttpExecutor:
    type: ExecutorType = TYPE
    mode: Mode = "async"

    def __init__(self) -> None:
        self._tls: Any = None  # made once: loading the authorities takes longer than a request

    async def execute(self, task: TaskAssignment, context: ExecutionContext) -> TaskResult:
        config: dict[str, Json] = task.config
        try:
            import httpx2
        except ImportError:
            return task.fail(f"the http executor needs httpx2 ({TYPE.install})", ERROR)
        try:
            expected = expected_statuses(config.get("expectStatus"))
            arguments = _request(config, context.mask)
            outputs, reason = await self._send(httpx2, arguments, lambda text: context.log(text, "stderr"))
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            return task.fail(f"{config.get('method', 'GET')} {config['url']}: {_why(error, context.mask)}", ERROR)
        except ValueError as error:
            return task.fail(str(error), ERROR)
        status = outputs["status"]
        if status in expected if expected else 200 <= status <= 299:
            return task.succeed(**outputs)
        return task.fail(_unexpected(outputs, reason, expected), outputs=outputs)

    async def _send(self, http: Any, arguments: dict[str, Any], tell: Tell) -> tuple[dict[str, Json], str]:
        """The outputs and the reason phrase. That no connection can be made because the machine is full is waited for."""
        patience = Patience(tell)
        while True:
            await begin(lambda: None, tell)
            try:
                with under_way():
                    return await self._exchange(http, arguments)
            except http.ConnectError as error:  # nothing was sent yet
                if not is_full(error):
                    raise
                full = error
            await patience.wait(full)

    async def _exchange(self, http: Any, arguments: dict[str, Any]) -> tuple[dict[str, Json], str]:
        """One request and its answer. The engine watches the task's timeout; only connecting is bounded here."""
        timeout = http.Timeout(None, connect=CONNECT_S)
        if self._tls is None:
            self._tls = http.create_ssl_context()
        async with (
            http.AsyncClient(verify=self._tls, timeout=timeout, follow_redirects=False) as client,
            client.stream(**arguments) as response,
        ):
            text = await _read(response)
            outputs: dict[str, Json] = {
                "status": response.status_code,
                "headers": {name.lower(): value for name, value in response.headers.items()},
                "body": text,
                "json": _json_or_null(text),
            }
            return outputs, response.reason_phrase


def expected_statuses(value: Json) -> frozenset[int]:
    """`expectStatus` as a set; empty is the default. Raises ValueError."""
    if value is None:
        return frozenset()
    statuses = value if isinstance(value, list) else [value]
    if not statuses or not all(type(status) is int and 100 <= status <= 599 for status in statuses):
        raise ValueError(f"expectStatus must be a status from 100 to 599 or a list of them, not {value!r}")
    return frozenset(statuses)


def _request(config: Mapping[str, Json], mask: Callable[[str], str]) -> dict[str, Any]:
    """What the client needs for this request. Raises ValueError."""
    url = config["url"]
    if not url.lower().startswith(("http://", "https://")):
        raise ValueError(f"url {mask(url)!r} is not an absolute http or https address")
    headers = {name: as_text(value) for name, value in (config.get("headers") or {}).items()}
    for name, value in headers.items():
        if not name or not name.isascii() or any(character in name + value for character in "\r\n\0"):
            raise ValueError(f"header {mask(name)!r} cannot be sent")
    body = config.get("body")
    content: bytes | None = None
    if isinstance(body, str):
        content = body.encode("utf-8", errors="replace")
    elif body is not None:
        content = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", errors="replace")
        if not any(name.lower() == "content-type" for name in headers):
            headers["content-type"] = "application/json"
    return {
        "method": config.get("method") or "GET",
        "url": url,
        "headers": {name: value.encode("utf-8", errors="replace") for name, value in headers.items()},
        "content": content,
    }


async def _read(response: httpx2.Response) -> str:
    """The body as text. Raises ValueError where it is too large."""
    data = bytearray()
    async for chunk in response.aiter_bytes():
        data += chunk
        if len(data) > BODY_LIMIT:
            limit = f"larger than {BODY_LIMIT} bytes, the limit of a value"
            raise ValueError(f"the response is {limit}: fetch it as an artifact (source `http`)")
    try:
        return data.decode(response.encoding or "utf-8", errors="replace")
    except LookupError:
        return data.decode("utf-8", errors="replace")


def _json_or_null(text: str) -> Json:
    try:
        return read_json(text)
    except ValueError:
        return None


def _unexpected(outputs: Mapping[str, Json], reason: str, expected: frozenset[int]) -> str:
    wanted = ", ".join(map(str, sorted(expected))) if expected else "2xx"
    message = f"status {outputs['status']} {reason}".rstrip() + f", expected {wanted}"
    location = outputs["headers"].get("location")
    if location and 300 <= outputs["status"] <= 399:
        message += f" (redirects are not followed: {location})"
    return message


def _why(error: Exception, mask: Callable[[str], str]) -> str:
    return mask(why(error)).lower()
