"""Where the Redis of a Celery fleet is, and how its Celery app is set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from msgspec import Struct

from aether_protocol.errors import UsageError

if TYPE_CHECKING:
    from celery import Celery

SCHEMES: Final = ("celery+redis", "celery+rediss")
QUEUE: Final = "aether"
LEASE_S: Final = 90.0
LIKE: Final = "celery+redis://HOST:6379/0"
TASK: Final = "aether_protocol.attempt"
SHORTEST_LEASE_S: Final = 1.0
_WITHIN_S: Final = 5.0  # Redis answers, or is away


class CeleryAddress(Struct, frozen=True):
    """The Redis of a fleet. `url` is for Redis and Celery; `shown` for people, without a password; `queue` is where attempts
    without a pool wait, those of pool P wait in `QUEUE.P`; `lease_s` is how long a worker that gives no
    sign of life keeps an attempt."""

    url: str
    shown: str
    queue: str = QUEUE
    lease_s: float = LEASE_S

    def queue_of(self, pool: str) -> str:
        """The queue of a pool; of none, where it is empty."""
        return f"{self.queue}.{pool}" if pool else self.queue


def read_address(url: str) -> CeleryAddress:
    """Read the URL of a fleet: `celery+redis://[USER:PASSWORD@]HOST[:PORT][/DB][?queue=NAME&lease=SECONDS]`, or
    `celery+rediss://...` for TLS, whose options `ssl_...` are those of redis-py; also the `redis://` of a Celery app.

    Raises:
        UsageError: it cannot be read.
    """
    parts = urlsplit(url)
    scheme = parts.scheme.removeprefix("celery+")
    if scheme not in ("redis", "rediss") or not parts.hostname:
        raise UsageError("the URL of a Celery fleet does not name a Redis", hint=f"it is like {LIKE}")
    try:
        port = parts.port or 6379
    except ValueError:
        raise UsageError("the URL of a Celery fleet has a port that is not one", hint=f"it is like {LIKE}") from None
    database = parts.path.strip("/") or "0"
    if not database.isdecimal():
        named = "a database that is" if "@" in database else f"database {database!r},"  # the end of a password, perhaps
        raise UsageError(f"the URL of a Celery fleet names {named} not a number", hint=f"it is like {LIKE}")
    ours: dict[str, str] = {}
    theirs: dict[str, str] = {}
    for name, text in parse_qsl(parts.query, keep_blank_values=True):
        (theirs if name.startswith("ssl_") else ours)[name] = text
    lease = _lease(ours.pop("lease", None))
    queue = ours.pop("queue", QUEUE) or QUEUE
    if ours:
        raise UsageError(f"the URL of a Celery fleet has no option {min(ours)!r}", hint="there are queue, lease and ssl_...")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    place = f"{parts.netloc.rpartition('@')[0]}@{host}:{port}" if "@" in parts.netloc else f"{host}:{port}"
    whole = urlunsplit((scheme, place, f"/{database}", urlencode(theirs), ""))
    return CeleryAddress(whole, f"Redis at {host}:{port}/{database}", queue, lease)


def _lease(text: str | None) -> float:
    if text is None:
        return LEASE_S
    try:
        lease = float(text)
    except ValueError:
        lease = 0.0
    if not SHORTEST_LEASE_S <= lease <= 86_400:
        raise UsageError(f"the lease of a Celery fleet is {text!r}, not a number of seconds from 1 to 86400")
    return lease


def celery_app(address: CeleryAddress, name: str = "aether") -> Celery:
    """Make a Celery app for a fleet. It does not become the current one: a user's own app may be beside it."""
    from celery import Celery

    app = Celery(name, broker=address.url, set_as_current=False)
    app.conf.update(settings_of(address))
    return app


def settings_of(address: CeleryAddress) -> dict[str, Any]:
    """What Celery has to be set to. Nothing is fetched ahead: what waits stays in the queue, where the order is that of
    priority, and what a worker loses with its connection is none of it. Results do not go through Celery."""
    return {
        "task_default_queue": address.queue,
        "task_create_missing_queues": True,
        "task_serializer": "json",
        "accept_content": ["json"],
        "task_ignore_result": True,
        "task_send_sent_event": False,
        "worker_prefetch_multiplier": 1,
        "worker_disable_prefetch": True,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_transport_options": {"socket_connect_timeout": _WITHIN_S, "socket_keepalive": True},
    }
