"""Documents as they are submitted, by tests of all kinds."""

from __future__ import annotations

from typing import Any


def submitted(*tasks: dict[str, Any], name: str = "one", **spec: Any) -> dict[str, Any]:
    """A workflow of these tasks; `spec` holds more of the spec."""
    return {
        "apiVersion": "aether/v1",
        "kind": "Workflow",
        "metadata": {"name": name},
        "spec": {"entrypoint": "main", "templates": [{"dag": {"name": "main", "tasks": list(tasks)}}], **spec},
    }


def script(source: str, **more: Any) -> dict[str, Any]:
    """A workflow of one script."""
    return submitted({"name": "job", "executor": {"type": "script", "config": {"source": source}}, **more})
