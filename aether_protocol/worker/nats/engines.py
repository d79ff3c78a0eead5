"""Which engines are there, by the store that they share (their site), and for what they give out tickets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from aether_protocol.adapters.brokers.nats.subjects import Announcement, Wanted

SILENT_US: Final = 20_000_000  # of an engine that announces itself each 5 s


class Engines:
    """What engines have said of themselves.

    Args:
        now: the time, in microseconds.
    """

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._seen: dict[str, dict[str, int]] = {}  # by site and instance: when it was heard last
        self.wanted: dict[str, Wanted] = {}  # by subject

    def heard(self, said: Announcement) -> bool:
        """Take an announcement in; whether it is of an engine that was not there."""
        if said.gone:
            self.drop(said.site, said.instance)
            return False
        is_new = not self.is_there(said.site, said.instance)
        self._seen.setdefault(said.site, {})[said.instance] = self._now()
        for one in said.wanted:
            self.wanted[one.subject] = one
        return is_new

    def drop(self, site: str, instance: str) -> None:
        """It is not there any more."""
        self._seen.get(site, {}).pop(instance, None)

    def is_there(self, site: str, instance: str) -> bool:
        """Whether it was heard of lately."""
        return self._now() - self._seen.get(site, {}).get(instance, -SILENT_US) < SILENT_US

    def choose(self, site: str, before: str) -> str:
        """The engine of a site to be asked: the one before as long as it is there, else the one heard of last."""
        if self.is_there(site, before):
            return before
        there = self._seen.get(site, {})
        return max(there, key=lambda one: there[one], default=before)
