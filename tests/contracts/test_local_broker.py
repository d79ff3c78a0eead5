"""The local broker keeps the Broker contract."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from aether_protocol.adapters.brokers.local import LocalBroker
from aether_protocol.ports.broker import Broker
from aether_protocol.ports.clock import Clock
from aether_protocol.ports.executor import Executor
from aether_protocol.testing.contracts.broker import BrokerContract

pytestmark = pytest.mark.rule("SCHED-11")


class TestLocalBroker(BrokerContract):
    def make(self, executors: Sequence[Executor], clock: Clock, concurrency: int | None) -> Broker:
        return LocalBroker(executors, clock, concurrency=concurrency)
