"""The URL of a Celery fleet, and what stands in it."""

from __future__ import annotations

import pytest

from aether_protocol.adapters.brokers.celery.address import read_address
from aether_protocol.adapters.brokers.celery.publisher import message_of, step_of
from aether_protocol.errors import UsageError


@pytest.mark.parametrize(
    ("url", "whole"),
    [
        ("celery+redis://cache", "redis://cache:6379/0"),
        ("celery+redis://cache:7000/3", "redis://cache:7000/3"),
        ("celery+redis://me:pass@cache", "redis://me:pass@cache:6379/0"),
        ("celery+redis://[::1]:7000/2?queue=jobs", "redis://[::1]:7000/2"),
        ("celery+rediss://cache?ssl_cert_reqs=required", "rediss://cache:6379/0?ssl_cert_reqs=required"),
        ("redis://cache:6379/1", "redis://cache:6379/1"),
        ("redis://cache//", "redis://cache:6379/0"),
    ],
)
def test_a_url_is_that_of_redis_with_options(url: str, whole: str) -> None:
    assert read_address(url).url == whole


def test_options_are_queue_and_lease() -> None:
    address = read_address("celery+redis://me:pass@cache/2?queue=jobs&lease=30")
    assert (address.queue_of(""), address.queue_of("gpu"), address.lease_s) == ("jobs", "jobs.gpu", 30.0)
    assert address.shown == "Redis at cache:6379/2"
    assert read_address("celery+redis://cache").queue_of("gpu") == "aether.gpu"


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("celery+redis://", "does not name a Redis"),
        ("celery+amqp://host", "does not name a Redis"),
        ("celery+redis://host:port", "a port that is not one"),
        ("celery+redis://host/jobs", "database 'jobs', not a number"),
        ("celery+redis://host?leese=3", "no option 'leese'"),
        ("celery+redis://host?lease=0", "lease of a Celery fleet is '0'"),
        ("celery+redis://host?lease=soon", "lease of a Celery fleet is 'soon'"),
        ("celery+redis://host?lease=nan", "lease of a Celery fleet is 'nan'"),
    ],
)
def test_what_cannot_be_read_is_refused(url: str, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        read_address(url)


def test_priorities_have_the_four_steps_of_celery() -> None:
    assert [step_of(one) for one in (1000, 750, 749, 500, 499, 250, 249, 0)] == [0, 0, 3, 3, 6, 6, 9, 9]
    message = message_of("run/main.t", "a1", "6:jobs:gpu")
    assert (message.queue, message.step, message.route) == ("jobs:gpu", 6, "6:jobs:gpu")
