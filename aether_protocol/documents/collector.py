"""Hold the garbage collector while a document is read or checked.

Trees, models and plans are many objects and none of them is garbage. The collector would walk all of them again and again while
the rest is made: a tenth to a third of the time, and more than in proportion to the size of a document.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_held() -> Iterator[None]:
    """Collect nothing inside; afterwards as before. It may be nested, and used as a decorator.

    Two threads at once: the first to leave lets the collector run again, which costs the other time and nothing else.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            _promote()
            gc.enable()


def _promote() -> None:
    """Count what was made as old, so that the next collection does not begin with a walk over all of it."""
    if not gc.get_freeze_count():  # what the program itself has frozen stays so
        gc.freeze()
        gc.unfreeze()
