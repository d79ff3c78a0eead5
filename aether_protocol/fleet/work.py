"""What is waiting and what is delivered: values of the fleet."""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct

from aether_protocol.plan.placement import Placement, slots_of
from aether_protocol.ports.wire import AttemptRef, TaskAssignment

TASKS: Final = "tasks"  # the kind of slot of which each attempt takes one
_ANYWHERE: Final = Placement()
Slots = tuple[tuple[str, int], ...]  # (kind, amount), in the order of the names; made by plan.placement.slots_of


class Need(Struct, frozen=True, gc=False):
    """What an attempt asks of a worker; attempts with the same need form a class. `selector` and `prefer` are texts of
    `plan.placement`; `pool` is the name of a pool, empty for workers without one. `unfit`: variants
    of the executor that its config does not fit."""

    executor: str
    pool: str = ""
    selector: str = ""
    prefer: str = ""
    slots: Slots = ((TASKS, 1),)
    unfit: tuple[str, ...] = ()


class Work(Struct, eq=False):
    """One attempt that an engine offers.

    `namespace` is that of its run. `at` is when it was offered (microseconds).
    `sticky`: a worker that had an attempt of this run before is asked first. `wait_until`
    (microseconds) is when it becomes an Error where it still waits for a worker. `eager`: it is offered again as soon as its
    worker's connection is lost, in place of at the end of the lease. `load` is what is to be delivered. The other fields
    belong to the fleet: `number` is that of the delivery, where another server made it; `order` is its place in the order of
    becoming ready, `refusals` how often workers returned it in a row, since when, and the last reason; `misfit` says why its
    config did not fit the last variant that it was held against, `waited_until` is what `wait_until` was before it found a
    worker; `task_run_id` is that of `ref`, made once since it is looked up by again and again.
    """

    ref: AttemptRef
    namespace: str
    need: Need
    priority: int = 0
    at: int = 0
    sticky: bool = False
    wait_until: int | None = None
    eager: bool = False
    load: object = None
    number: int = 0
    order: int = 0
    refusals: int = 0
    refused_since: int | None = None
    reason: str = ""
    misfit: str = ""
    waited_until: int | None = None
    task_run_id: str = ""

    def __post_init__(self) -> None:
        self.task_run_id = self.ref.task_run_id

    @property
    def run_id(self) -> str:
        return self.ref.run_id


def work_of(assignment: TaskAssignment, now: int) -> Work:
    """Return what the fleet has to know of an attempt that is offered `now`.

    Raises:
        ValueError: what it asks of a worker cannot be read.
    """
    asked = assignment.placement or _ANYWHERE
    longest = asked.wait_at_most_us
    need = Need(assignment.executor_type, asked.pool, asked.selector, asked.prefer, slots_of(assignment.resources))
    return Work(
        assignment.ref,
        assignment.namespace,
        need,
        assignment.priority,
        at=now,
        wait_until=None if longest is None else now + longest,
        sticky=asked.sticky,
        eager=asked.eager,
        load=assignment,
    )


DeliveryState = Literal["assigned", "running", "stopping", "reported", "ended"]


class WorkerDelivery(Struct, eq=False):
    """One attempt at one session. `poll` is the number of the poll that was answered with it; `at` when (microseconds).
    Of a delivery that a worker brought along, or another server placed here (`adopted`), this server decides nothing: the work
    of the former is what its worker says. One that is `reported` has given a result which is not recorded yet, or its worker
    says that it has one: it sends it again until it is recorded. One that has `ended` is known for as long as a message of its
    worker may still name it."""

    number: int
    session: str
    work: Work
    poll: int
    at: int
    state: DeliveryState = "assigned"
    adopted: bool = False

    @property
    def is_over(self) -> bool:
        """Whether its attempt does not run any more."""
        return self.state in ("reported", "ended")
