"""For all tests: CI tries the same examples each time, so that what is green once stays green; a busy machine fails none."""

from __future__ import annotations

import os
import signal

from hypothesis import HealthCheck, settings

os.environ["AETHER_CONFIG"] = os.devnull  # settings of who runs the tests change none; tests of settings name theirs

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as for what a shell starts in the background; programs would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("here"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")
