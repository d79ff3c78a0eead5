"""What a broker needs at a Dask scheduler, and for how long."""

from __future__ import annotations

import pytest

from aether_protocol.adapters.brokers.dask.deliveries import DaskDeliveries, DaskDelivery
from aether_protocol.adapters.brokers.dask.tasks import flag_of
from aether_protocol.testing.contracts.broker import ref, work

pytestmark = pytest.mark.rule("RT-145")


def sent(deliveries: DaskDeliveries, *nodes: int) -> list[DaskDelivery]:
    """Deliveries that are at the scheduler, in one dataset."""
    several = [DaskDelivery(ref(node), work(node)) for node in nodes]
    assert all(deliveries.enter(one) is one and deliveries.begins(one) for one in several)
    deliveries.name_datasets(several)
    for one in several:
        deliveries.sent(one, object())
    return several


def test_flags_stay_for_as_long_as_a_task_of_their_dataset_is_needed() -> None:
    deliveries = DaskDeliveries("engine", 10)
    first, second = sent(deliveries, 1, 2)
    deliveries.drop(first)
    assert not deliveries.has_over
    deliveries.drop(second)
    assert deliveries.next_over() == first.dataset == second.dataset
    deliveries.deleted(first.dataset)
    assert deliveries.forgotten == {first.name, second.name}
    assert not deliveries.has_over
    assert flag_of(first.name) == f"aether-{first.token}"


@pytest.mark.parametrize("order", ["first", "last"])
def test_what_is_left_for_another_engine_is_not_deleted(order: str) -> None:
    deliveries = DaskDeliveries("engine", 10)
    first, second = sent(deliveries, 1, 2)
    if order == "first":
        deliveries.release(first)
        deliveries.drop(second)
    else:
        deliveries.drop(second)
        deliveries.release(first)
    assert not deliveries.has_over


def test_of_a_dataset_of_another_engine_all_flags_go_with_it() -> None:
    deliveries = DaskDeliveries("engine", 10)
    assert deliveries.look_at("aether/before/1/run-1")
    deliveries.note_done("aether/before/1/run-1", "aether-1|run-1|1|0|main.t1")
    deliveries.pass_over("aether/before/1/run-1")
    deliveries.deleted(deliveries.next_over())
    assert deliveries.forgotten == {"aether-1|run-1|1|0|main.t1"}
    assert not deliveries.has_over
