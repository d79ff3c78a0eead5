"""The task by which a fleet of Celery workers carries out attempts: `celery -A aether_protocol.celery worker`.

An app of your own has it by `include=["aether_protocol.celery"]`, with a worker that takes the queue `aether` (`-Q
celery,aether`). Where Redis is comes from that app, else from AETHER_BROKER (`celery+redis://HOST:6379/0`) or `url` of
`[broker]`; secrets and artifacts are those that the settings name where the worker runs (docs/how-to/brokers.md).
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from typing import TYPE_CHECKING, Any, Final

from celery import Celery, shared_task, signals
from celery.exceptions import TimeLimitExceeded, WorkerLostError
from msgspec.structs import replace

from aether_protocol.adapters.brokers.celery.address import SCHEMES, TASK, CeleryAddress, celery_app, read_address
from aether_protocol.adapters.secrets.environment import EnvironmentSecrets
from aether_protocol.assembly.configuration.effective import load_configuration
from aether_protocol.assembly.parts import secret_providers, with_shared
from aether_protocol.errors import AetherError
from aether_protocol.worker.celery.carrier import Carrier, CarrierSettings

if TYPE_CHECKING:
    app: Celery

__all__ = ["app", "attempt"]

DEFAULT_URL: Final = "celery+redis://127.0.0.1:6379/0"
MODULES_VARIABLE: Final = "AETHER_WORKER_IMPORT"
_log = logging.getLogger("aether_protocol")
_making = threading.Lock()
_carriers: dict[int, Carrier] = {}  # by process: those that Celery forks have one of their own


def __getattr__(name: str) -> Any:
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    made = globals()["app"] = celery_app(_configured() or read_address(DEFAULT_URL))
    return made


def _carry_out(self: Any, task_run: str, token: str) -> str:
    """Carry out the attempt that a message names."""
    return _carrier(self.app).carry_out(task_run, token)


# Acknowledged as it begins: what has been claimed lies in the table, and a worker of Celery that has messages which are not
# acknowledged ends when the connection to Redis is lost (kombu 5.7). That a message is handed out twice changes nothing.
attempt = shared_task(
    _carry_out,
    name=TASK,
    bind=True,
    acks_late=False,
    ignore_result=True,
    max_retries=0,
    serializer="json",
)


def _configured() -> CeleryAddress | None:
    """The fleet that the settings name; None: another broker, or none."""
    url = load_configuration().broker.url or ""
    return read_address(url) if url.partition(":")[0] in SCHEMES else None


def _address_of(app_: Celery) -> CeleryAddress:
    """The Redis of an app. What else the settings name of a fleet counts, too."""
    found = read_address(app_.conf.broker_write_url or app_.conf.broker_url)
    named = _configured()
    return found if named is None else replace(found, queue=named.queue, lease_s=named.lease_s)


def _carrier(app_: Celery) -> Carrier:
    with _making:  # several threads of a pool begin at a time
        carrier = _carriers.get(os.getpid())
        if carrier is None or not carrier.is_alive:
            if any(name in sys.modules for name in ("gevent.monkey", "eventlet.patcher")):
                raise RuntimeError("attempts need a Celery pool of processes or threads: -P prefork, threads or solo")
            carrier = _carriers[os.getpid()] = Carrier(_address_of(app_), _settings())
        return carrier


def _settings() -> CarrierSettings:
    configuration = load_configuration()
    secrets = configuration.secrets
    providers = with_shared(
        [*secret_providers([*secrets.files, *secrets.providers]), EnvironmentSecrets()], tuple(secrets.shared)
    )
    modules = tuple(name for name in os.environ.get(MODULES_VARIABLE, "").replace(",", " ").split() if name)
    return CarrierSettings(tuple(providers), str(configuration.artifacts.path or ""), modules)


def _ends(**_: Any) -> None:
    """A process of Celery ends: what it still has is returned at once."""
    carrier = _carriers.pop(os.getpid(), None)
    if carrier is not None:
        carrier.close()


def _lost(sender: Any = None, exception: BaseException | None = None, args: Any = (), **_: Any) -> None:
    """A process of Celery died, which carried out this attempt alone: its engine hears of it at once, not after the lease."""
    if getattr(sender, "name", "") != TASK or not isinstance(exception, WorkerLostError | TimeLimitExceeded):
        return
    from redis import Redis
    from redis.exceptions import RedisError

    from aether_protocol.adapters.brokers.celery.scripts import SCRIPTS

    reason = "its Celery process died" if isinstance(exception, WorkerLostError) else "it exceeded the time limit of Celery"
    try:
        task_run, token = args
        url = _address_of(sender.app).url
        with Redis.from_url(url, socket_timeout=5, socket_connect_timeout=5) as redis:
            redis.eval(SCRIPTS["died"], 0, *(task_run, token, f"{reason}: {exception}", "1", "1"))
    except (RedisError, OSError, AetherError, ValueError) as error:
        _log.warning("that an attempt was lost could not be reported, and is detected at the end of its lease: %s", error)


signals.worker_process_shutdown.connect(_ends)
signals.worker_shutdown.connect(_ends)
signals.task_failure.connect(_lost)
