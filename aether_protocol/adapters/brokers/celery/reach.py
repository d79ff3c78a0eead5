"""Whether the Redis of a Celery fleet is there, and takes this client: asked before anything is begun.

Law: a Redis that is away later is waited for; one that never was there is an error, like a wrong password.
"""

from __future__ import annotations

from typing import Final

from aether_protocol.adapters.brokers.celery.address import CeleryAddress
from aether_protocol.errors import PortError, why

REACH_S: Final = 5.0


def require_redis(address: CeleryAddress) -> None:
    """See whether Redis can be used. Raises PortError: it is not there, or refuses."""
    import redis

    client = redis.Redis.from_url(address.url, socket_connect_timeout=REACH_S, socket_timeout=REACH_S)
    try:
        client.ping()
    except (redis.AuthenticationError, redis.ResponseError) as error:
        text = why(error).rstrip(".")
        reason = "it wants a password" if text.startswith(("HELLO must", "Authentication required")) else text
        hint = "they are in the URL: celery+redis://USER:PASSWORD@HOST, or celery+redis://:PASSWORD@HOST"
        raise PortError(f"{address.shown} refuses: {reason}", hint=hint) from None
    except (redis.RedisError, OSError) as error:
        cause = error.__cause__ or error.__context__ or error
        reason = (getattr(cause, "strerror", None) or why(cause)).lower()
        raise PortError(f"{address.shown} cannot be reached: {reason}", hint="is redis-server running there?") from None
    finally:
        client.close()
