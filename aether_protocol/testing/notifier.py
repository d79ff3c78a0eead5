"""A notifier that keeps what it is given, for tests of what notifies."""

from __future__ import annotations

from aether_protocol.errors import PortError
from aether_protocol.ports.notifier import Notification


class RecordingNotifier:
    """See `ports.notifier.Notifier`. `sent` is what it was given; while `away` is set it refuses with that text."""

    def __init__(self) -> None:
        self.sent: list[Notification] = []
        self.away = ""

    def notify(self, notification: Notification) -> None:
        """Keep it. Raises PortError while it is away."""
        if self.away:
            raise PortError(self.away)
        self.sent.append(notification)
