"""`apply`, `library`, `template` and `cron` on a server say what they say on a store."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.e2e.process import aether
from tests.e2e.servers import served

COMMANDS = (
    ("apply", "flows", "--dry-run"),
    ("apply", "flows"),
    ("apply", "flows"),
    ("apply", "bad.yaml"),
    ("library", "ls"),
    ("library", "ls", "-o", "json"),
    ("library", "show", "team/welcome"),
    ("library", "show", "team/nothing"),
    ("library", "diff", "team/welcome"),
    ("template", "ls", "-o", "json"),
    ("template", "apply", "flows"),
    ("template", "rm", "team/greet"),
    ("cron", "ls"),
    ("cron", "ls", "-o", "json"),
    ("cron", "suspend", "team/nightly"),
    ("cron", "resume", "team/nightly"),
    ("cron", "history", "team/nightly"),
    ("cron", "apply", "flows/nightly.yaml", "-o", "json"),
    ("cron", "rm", "team/nightly"),
    ("library", "rm", "team/welcome", "team/greet"),
    ("library", "ls"),
)
_VARIES = re.compile(r"\d{4}-\d\d-\d\d[T ][\d:.]+Z?|(in|after) [\dhms ]+|at \S+/runs\.db|http://\S+|sqlite:\S+")


def said(done: subprocess.CompletedProcess[str]) -> tuple[int, str, str]:
    return done.returncode, _VARIES.sub("~", done.stdout), _VARIES.sub("~", done.stderr)


def test_what_a_server_is_asked_is_answered_as_a_store_would(tmp_path: Path) -> None:
    flows = tmp_path / "flows"
    flows.mkdir()
    for file in (Path(__file__).parents[2] / "examples" / "served").iterdir():
        (flows / file.name).write_text(file.read_text())
    (tmp_path / "bad.yaml").write_text((flows / "welcome.yaml").read_text().replace("greet, template", "gret, template"))
    with served(tmp_path, "--no-workers", "--no-cron") as server:
        for command in COMMANDS:
            here = aether(*command, "--store", f"sqlite:{tmp_path / 'other.db'}", cwd=tmp_path)
            there = aether(*command, "--server", server.url, cwd=tmp_path)
            assert said(there) == said(here), command
