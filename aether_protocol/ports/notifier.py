"""The Notifier port: tells people something, by mail, chat or however they are reached."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct

from aether_protocol.expressions.values import Json


class Notification(Struct, frozen=True):
    """What people are to know. `to` are the people meant, as the notifier calls them; empty: its usual ones. `run` and
    `task` say what it is about (as in an AttemptRef), `details` are for a notifier that shows more than text."""

    subject: str
    text: str = ""
    to: tuple[str, ...] = ()
    run: str | None = None
    task: str | None = None
    details: Mapping[str, Json] = {}


class Notifier(Protocol):
    """A way to reach people. Blocking calls, made in a thread."""

    def notify(self, notification: Notification) -> None:
        """Send it. What it holds is masked already. Raises PortError where it cannot be sent."""
        ...
