"""A distribution of its own, as a folder on the path: a part of every family, and broken ones."""

from __future__ import annotations

from pathlib import Path

NAME = "outside-parts"

ENTRY_POINTS = """\
[aether.executors]
greet = outside_parts:Greet
ask = outside_parts:Ask
shout = outside_parts:Shout
gone = nowhere_at_all:Executor
alias = outside_parts:Greet
noop = outside_parts:Greet

[aether.functions]
flip = outside_parts:flip
lost = nowhere_at_all:function

[aether.stores]
shelf = outside_parts:open_shelf
torn = nowhere_at_all:store

[aether.brokers]
hand = outside_parts:hand
torn = nowhere_at_all:broker
half = outside_parts:half

[aether.secrets]
vault = outside_parts:Vault
torn = nowhere_at_all:secrets

[aether.artifacts]
attic = outside_parts:attic
torn = nowhere_at_all:artifacts

[aether.variables]
weather = outside_parts:Weather
torn = nowhere_at_all:variables

[aether.notifiers]
board = outside_parts:Board
torn = nowhere_at_all:notifier

[aether.clocks]
late = outside_parts:LateClock
torn = nowhere_at_all:clock

[aether.ids]
counted = outside_parts:Counted
torn = nowhere_at_all:ids
"""

MODULE = '''\
from aether_protocol import ExecutorType
from aether_protocol.adapters.artifacts.repository import LocalRepository
from aether_protocol.adapters.brokers.local import LocalBroker
from aether_protocol.adapters.stores.sqlite.store import open_sqlite
from aether_protocol.engine.clock import SystemClock
from aether_protocol.engine.ids import RandomIds
from aether_protocol.ports.notifier import Notification


class Greet:
    type = ExecutorType("greet", "Greets.")
    mode = "inline"

    def execute(self, task, context):
        context.log("hello\\n")
        return task.succeed()


class Ask:
    type = ExecutorType("ask", "Asks, at the engine's own site.", site="engine")
    mode = "inline"

    def execute(self, task, context):
        return task.succeed() if task.payloads else task.suspend("well?")


def flip(text):
    return text[::-1]


def open_shelf(url, *, reads_only):
    path = url.partition(":")[2].partition("?")[0]
    return open_sqlite(path, durability="normal", reads_only=reads_only)


class Noted(LocalBroker):
    """The local broker, which notes what it takes in a file."""

    def __init__(self, file, parts):
        super().__init__(parts.executors, parts.clock, stager=parts.stager, secrets=parts.secrets, notifiers=parts.notifiers)
        self.file = file

    async def dispatch(self, batch):
        with open(self.file, "a") as out:
            out.writelines(f"{one.task_name}\\n" for one in batch)
        return await super().dispatch(batch)


def hand(url, parts):
    return Noted(url.partition(":")[2], parts)


def half(url, parts):
    return object()


class Vault:
    blocking = False

    def __init__(self, url):
        self.address = url.partition(":")[2]

    def get(self, name, key):
        return f"{self.address}-{name}-{key}" if name == "db" else None


def attic(url):
    return LocalRepository(url.partition(":")[2])


class Weather:
    namespace = "weather"

    def __init__(self, url):
        self.place = url.partition(":")[2]

    def read(self):
        return {"place": self.place, "degrees": 21}


class Board:
    """Writes what people are to know into a file."""

    def __init__(self, url):
        self.file = url.partition(":")[2]

    def notify(self, notification):
        with open(self.file, "a") as out:
            out.write(notification.subject + "\\n")


class Shout:
    type = ExecutorType("shout", "Notifies people.")
    mode = "thread"

    def execute(self, task, context):
        context.notifier().notify(Notification(f"hear {task.inputs['word']}", run=task.run_id, task=task.path))
        return task.succeed()


class LateClock(SystemClock):
    def now(self):
        return super().now() + 3_600_000_000


class Counted(RandomIds):
    def new_id(self, kind, now_us, run=None):
        return f"{kind}-counted-1"

    def seed(self, run):
        assert run == "run-counted-1"
        return 7
'''


def lay_down(folder: Path) -> Path:
    """Make the distribution in a folder, and return that folder, for `sys.path` or PYTHONPATH."""
    info = folder / "outside_parts-2.5.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {NAME}\nVersion: 2.5\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    (folder / "outside_parts.py").write_text(MODULE)
    return folder
