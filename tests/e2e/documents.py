"""Small documents for tests of the command line."""

from __future__ import annotations

from pathlib import Path

HEAD = "apiVersion: aether/v1\nkind: Workflow\nmetadata: {name: flow}\nspec:\n  entrypoint: main\n"


def workflow(folder: Path, *tasks: str, spec: str = "", name: str = "flow.yaml") -> Path:
    """A dag `main` with these tasks, each a flow mapping; `spec` holds more lines of the spec."""
    body = "".join(f"          - {task}\n" for task in tasks)
    path = folder / name
    path.write_text(f"{HEAD}{spec}  templates:\n    - dag:\n        name: main\n        tasks:\n{body}", "utf-8")
    return path


def task(name: str, executor: str, config: str = "{}", more: str = "") -> str:
    return f"{{name: {name}, executor: {{type: {executor}, config: {config}}}{more}}}"
