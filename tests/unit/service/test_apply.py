"""Applying several schedules where the store refuses one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from aether_protocol.adapters.stores.memory.store import MemoryStore
from aether_protocol.cron.settings import CronSettings
from aether_protocol.engine.schedules import ScheduleChange, ScheduleSpec, plan_change
from aether_protocol.errors import BusyError, PortError
from aether_protocol.ports.store.schedules import StoredSchedule
from aether_protocol.service.schedules.apply import ScheduleCandidate, apply_all
from aether_protocol.testing.contracts.store.tools import tiny_plan


def spec(name: str) -> ScheduleSpec:
    return ScheduleSpec("default", name, CronSettings("0 0 1 1 *"), "s", "{}", replace(tiny_plan(), name=name))


@pytest.mark.rule("CRON-6")
@pytest.mark.parametrize("kind", [BusyError, PortError])
def test_what_was_applied_is_named_where_the_store_refuses_one(kind: type[BusyError | PortError]) -> None:
    class Refusing(MemoryStore):
        def __init__(self) -> None:
            super().__init__()
            self._put = self.schedules.put
            self.schedules.put = self._refuse

        async def _refuse(self, schedule: StoredSchedule, plan: Any = None) -> StoredSchedule:
            if schedule.name == "b":
                raise kind("somebody was first")
            return await self._put(schedule, plan)

    async def go() -> None:
        store = Refusing()
        given = [spec(name) for name in ("a", "b", "c")]
        changes: list[ScheduleChange] = [await plan_change(store.schedules, one, 0) for one in given]
        candidates = [ScheduleCandidate(None, one) for one in given]  # type: ignore[arg-type]
        with pytest.raises(kind) as told:
            await apply_all(store, candidates, changes)
        assert told.value.message == "schedule 'b': somebody was first"
        assert told.value.hint == "applied: a; not applied: b, c; apply again"
        assert [one.name for one in await store.schedules.find()] == ["a"]

    asyncio.run(go())
