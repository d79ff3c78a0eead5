"""`TZ` decides in which zone text is shown, and the zone is named; the two hours of one name are distinguished."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from aether_protocol.cli.render.schedules import fire_line
from aether_protocol.cli.render.times import here, in_zone, own_time
from aether_protocol.cron.settings import CronSettings

BERLIN = ZoneInfo("Europe/Berlin")


def us(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1_000_000)


@pytest.mark.parametrize(
    ("zone", "at", "text"),
    [
        (None, "2026-03-29T01:30:12Z", "2026-03-29 01:30:12 UTC"),  # that of the machine
        ("UTC", "2026-03-29T01:30:12Z", "2026-03-29 01:30:12 UTC"),
        ("Europe/Berlin", "2026-03-29T00:59:59Z", "2026-03-29 01:59:59 CET"),
        ("Europe/Berlin", "2026-03-29T01:00:00Z", "2026-03-29 03:00:00 CEST"),  # the clock is set forward
        ("Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-25 02:30:00 CEST"),  # the hour that comes twice
        ("Europe/Berlin", "2026-10-25T01:30:00Z", "2026-10-25 02:30:00 CET"),
        (":America/New_York", "2026-10-25T01:30:00Z", "2026-10-24 21:30:00 EDT"),
        ("Asia/Kathmandu", "2026-01-01T00:00:00Z", "2026-01-01 05:45:00 +05:45"),  # a zone without letters
        ("Nowhere/Bad", "2026-01-01T00:00:00Z", "2026-01-01 00:00:00 UTC"),
    ],
)
def test_an_instant_is_shown_in_the_zone_of_the_reader(
    zone: str | None, at: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if zone is not None:
        monkeypatch.setenv("TZ", zone)
    assert here(us(at)) == text


@pytest.mark.parametrize(
    ("zone", "shown", "own"),
    [
        (None, "2026-10-25 02:30 CET", None),
        ("Europe/Paris", "2026-10-25 02:30 CET", None),  # the same offset: once is enough
        ("America/New_York", "2026-10-24 21:30 EDT", "2026-10-25 02:30 CET"),
        ("UTC", "2026-10-25 01:30 UTC", "02:30 CET"),
    ],
)
def test_a_time_of_a_schedule_is_shown_in_its_zone_or_in_that_of_the_reader(
    zone: str | None, shown: str, own: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if zone is not None:
        monkeypatch.setenv("TZ", zone)
    at = us("2026-10-25T01:30:00Z")
    assert (in_zone(at, BERLIN), own_time(at, BERLIN)) == (shown, own)


def test_what_is_odd_about_a_fire_is_explained_beside_the_time_that_it_is_about(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = CronSettings("30 2 * * *", "Europe/Berlin")
    at = us("2026-03-29T01:00:00Z")
    monkeypatch.setenv("TZ", "America/New_York")
    assert fire_line(settings, at, at) == (
        "2026-03-28 21:00 EDT  now  (2026-03-29 03:00 CEST; for a time that is skipped: the clock goes from 02:00 to 03:00)"
    )
    assert in_zone(0, UTC) == "1969-12-31 19:00 EST"
