"""The broker behind NATS keeps the contract, with a real server, real workers, and engines that come and go."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from aether_protocol.adapters.brokers.nats.address import read_nats_url
from aether_protocol.adapters.brokers.nats.broker import NatsBroker
from aether_protocol.adapters.stores.sqlite.store import open_sqlite
from aether_protocol.assembly.stores import begin_term
from aether_protocol.engine.clock import SystemClock
from aether_protocol.ports.broker import Broker, BrokerParts
from aether_protocol.ports.store import ServerTerm
from aether_protocol.testing.contracts.live_broker import LiveBrokerContract, LiveSite
from tests.nats_server import NatsServer, needs_server

pytestmark = [pytest.mark.rule("RT-144"), pytest.mark.timeout(180)]
LEASE_S = 6


class NatsSite:
    """A server, a worker, and a store that all engines share."""

    limit = None

    def __init__(self, folder: Path, slots: int) -> None:
        self.server = NatsServer(folder / "nats")
        self.server.start()
        self.url = f"{self.server.url}?lease={LEASE_S}"
        self.store = str(folder / "runs.db")
        self.folder = folder
        self.slots = slots
        self.workers: list[subprocess.Popen[bytes]] = []
        self.brokers: list[Broker] = []
        self.begin_worker()

    def begin_worker(self, *more: str) -> subprocess.Popen[bytes]:
        words = ["--broker", self.url, "--slots", str(self.slots), "--import", "aether_protocol.testing.probe", *more]
        command = [sys.executable, "-m", "aether_protocol.cli", "worker", *words]
        with (self.folder / f"worker-{len(self.workers)}.log").open("wb") as log:
            made = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        self.workers.append(made)
        return made

    async def _term(self) -> ServerTerm:
        store = open_sqlite(self.store)
        try:
            return await begin_term(store)
        finally:
            await store.close()

    async def connect(self) -> Broker:
        broker = NatsBroker(read_nats_url(self.url), BrokerParts(SystemClock(), {}, begin_term=self._term))
        self.brokers.append(broker)
        return broker

    async def cut(self) -> None:
        self.server.stop()

    async def mend(self) -> None:
        self.server.start()

    async def close(self) -> None:
        for broker in self.brokers:
            await broker.close()
        for worker in self.workers:
            os.killpg(worker.pid, signal.SIGTERM)
            try:
                await asyncio.to_thread(worker.wait, 1)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()
        self.server.stop()


class TestNatsBroker(LiveBrokerContract):
    async def make_site(self, folder: Path, slots: int) -> LiveSite:
        needs_server()
        return NatsSite(folder, slots)
