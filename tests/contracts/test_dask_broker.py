"""The broker for Dask keeps the contract of brokers whose workers are real processes, with a real cluster on the loopback."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from aether_protocol.testing.contracts.live_broker import LiveBrokerContract
from tests.dask_cluster import DaskProcesses, Wire

distributed = pytest.importorskip("distributed")

from aether_protocol.adapters.brokers.dask import DaskBroker  # noqa: E402

pytestmark = [pytest.mark.rule("RT-145"), pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")]


@pytest.fixture(autouse=True)
def tidy() -> Iterator[None]:
    """What Dask leaves behind goes here, and not while another test runs."""
    yield
    gc.collect()


class DaskSite:
    """See `contracts.live_broker.LiveSite`: a scheduler, and a worker with as many threads as there are slots."""

    limit = None

    def __init__(self, folder: Path) -> None:
        self.processes = DaskProcesses(folder)
        self.wire = Wire()

    async def start(self, slots: int) -> None:
        self.processes.start()
        self.processes.add("w1", slots)
        await self.wire.start(self.processes.port)

    async def connect(self) -> DaskBroker:
        return DaskBroker(f"tcp://127.0.0.1:{self.wire.port}", modules=["aether_protocol.testing.probe"])

    async def cut(self) -> None:
        self.wire.cut()

    async def mend(self) -> None:
        self.wire.mend()

    async def close(self) -> None:
        await self.wire.close()
        self.processes.close()


class TestDaskBroker(LiveBrokerContract):
    async def make_site(self, folder: Path, slots: int) -> DaskSite:
        site = DaskSite(folder)
        await site.start(slots)
        return site
