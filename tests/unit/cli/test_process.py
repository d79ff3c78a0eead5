"""What a process that drives runs does with what libraries log."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from aether_protocol.cli.process import log_to


class Kept(logging.Handler):
    """Keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def loggers() -> Iterator[None]:
    """Leaves the loggers of the process as they were."""
    root, own = logging.getLogger(), logging.getLogger("aether_protocol")
    before = [*root.handlers], [*own.handlers], own.propagate, own.level
    yield
    root.handlers[:], own.handlers[:], own.propagate = before[0], before[1], before[2]
    own.setLevel(before[3])


@pytest.mark.usefixtures("loggers")
def test_a_warning_of_a_library_is_one_line_without_a_trace() -> None:
    kept = Kept()
    log_to(Kept())
    log_to(kept)  # of two commands in one process the later one counts
    logging.getLogger("some.library").warning("out of cheese\nredo from %s", "start")
    logging.getLogger("some.library").info("not that")
    try:
        raise ValueError("a\nb")
    except ValueError:
        logging.getLogger("other").exception("what now")
    logging.getLogger("third").error("x" * 10_000)
    logging.getLogger("aether_protocol").warning("ours")
    said = [one.getMessage() for one in kept.records]
    assert said[:2] == ["some.library: out of cheese redo from start", "other: what now (ValueError: a b)"]
    assert len(said[2]) == 500
    assert said[3:] == ["ours"]
    assert all(one.exc_info is None for one in kept.records)
