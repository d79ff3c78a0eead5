"""What a broker's URL says, and what it needs: the one table of the brokers that come with the package, by scheme (RT-144).

Law: whether a broker can be had here is said before anything runs, with what to install. A password in a URL is never shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from msgspec import Struct

from aether_protocol.assembly.discovery import is_installed, names
from aether_protocol.assembly.store_urls import has_scheme, without_password
from aether_protocol.errors import UsageError

LOCAL: Final = "local"


class BrokerKind(Struct, frozen=True):
    """A kind of broker whose workers are elsewhere.

    `extra` is what is installed for it, `modules` what it imports of that; `like` is a URL of it. `workers`: what starts
    its own workers, which carry the attempts out; empty: `aether worker --broker URL` works for it.
    """

    extra: str
    modules: tuple[str, ...]
    like: str
    workers: str = ""


_CELERY: Final = "celery -A aether_protocol.celery worker"

KINDS: Final[Mapping[str, BrokerKind]] = MappingProxyType(
    {
        "nats": BrokerKind("nats", ("nats",), "nats://HOST:PORT"),
        "celery+redis": BrokerKind("celery", ("celery", "redis"), "celery+redis://HOST", _CELERY),
        "celery+rediss": BrokerKind("celery", ("celery", "redis"), "celery+rediss://HOST", _CELERY),
        "dask": BrokerKind("dask", ("distributed",), "dask://127.0.0.1:8786", "dask worker HOST:PORT"),
    }
)


def is_remote(given: object) -> bool:
    """Say whether a broker, which may be named by its URL, is one of those here: its workers are on other machines."""
    return isinstance(given, str) and scheme_of(given) in KINDS


def scheme_of(url: str) -> str:
    """Give the name of the broker that a URL names."""
    return url.partition(":")[0]


def shown_broker(url: str) -> str:
    """The URL of a broker as people may see it."""
    return without_password(url)


def check_broker_url(url: str, *, for_worker: bool = False) -> str:
    """Return the URL of a broker that can be had here. Nothing is imported but the packages of dotted names.

    Args:
        url: the name of an installed broker, such as `local`, or `SCHEME:...`.
        for_worker: it is to be worked for (`aether worker --broker`).

    Raises:
        UsageError: There is no such broker, what it needs is not installed, or it has workers of its own.
    """
    scheme, shown = scheme_of(url), shown_broker(url)
    if not is_installed("brokers", scheme) or (scheme in KINDS and not has_scheme(url)):
        from aether_protocol.diagnostics.suggest import did_you_mean

        several = names("brokers")
        likes = ", ".join(KINDS[name].like if name in KINDS else name for name in several)
        raise UsageError(f"unknown broker {scheme!r}", hint=did_you_mean(scheme, several, f"installed: {likes}"))
    kind = KINDS.get(scheme)
    if for_worker and (kind is None or kind.workers):
        served = ", ".join(sorted(one.like for one in KINDS.values() if not one.workers))
        hint = f"its workers are started with `{kind.workers}`" if kind is not None else f"it does for {served}"
        raise UsageError(f"'aether worker' does not work for the broker {shown!r}", hint=hint)
    if kind is not None:
        from importlib.util import find_spec  # only for a broker that is named

        missing = [name for name in kind.modules if find_spec(name) is None]
        if missing:
            hint = f"pip install 'aether-protocol[{kind.extra}]'"
            raise UsageError(f"the broker {shown!r} needs what is not installed: {', '.join(missing)}", hint=hint)
    return url
