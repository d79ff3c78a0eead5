"""`aether init NAME`: a folder to start from.

Law: what it makes passes `aether validate`, `aether run` and `aether test` at once.
"""

from __future__ import annotations

import json
import os
import re
from importlib.resources import files
from pathlib import Path

import click

from aether_protocol.errors import PortError, UsageError

EPILOG = """\b
Example:
  aether init hello
  aether run hello/workflow.yaml -p name=Ada"""

NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
# template in aether_protocol/cli/skeleton -> file in the new folder
FILES = {
    "workflow.yaml": "workflow.yaml",
    "workflow.case.yaml": "workflow.case.yaml",
    "readme.md": "README.md",
    "editor.json": ".vscode/settings.json",
    "ci.yml": ".github/workflows/workflows.yml",
}
SCHEMA = "aether-v1.schema.json"


@click.command("init", epilog=EPILOG)
@click.argument("name", metavar="NAME")
def command(name: str) -> int:
    """Make a new folder with a workflow, a test for it, editor settings and a CI file.

    NAME is the folder to make; its last part becomes the name of the workflow. With . it is this folder: what is in it
    stays, and a file that would be written over is an error.
    """
    folder = Path(name)
    here = folder.resolve() == Path.cwd()
    workflow = near_name(folder.resolve().name) if here else folder.name
    if not NAME.fullmatch(workflow):
        raise UsageError(
            f"{workflow!r} cannot be the name of a workflow",
            hint="use lower-case letters, digits and hyphens, 63 at most",
        )
    if here:
        taken = next((target for target in (*FILES.values(), SCHEMA) if os.path.lexists(target)), None)
        if taken is not None:
            raise UsageError(f"{taken!r} is there already", hint="move it away, or name a new folder")
    elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{str(folder)!r} is there already and not empty", hint="choose another name, or '.' in it")
    written = make(folder, workflow)
    for path in written:
        click.echo(f"  {path}")
    click.echo("\nNow try:")
    at = "" if here else f"{folder}/"
    for line in (f"run {at}workflow.yaml -p name=Ada", f"test {folder}", f"validate {folder}"):
        click.echo(f"  aether {line}")
    return 0


def near_name(text: str) -> str:
    """The name of a workflow that is nearest to the name of a folder."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:63].strip("-") or "workflow"


def make(folder: Path, workflow: str) -> list[Path]:
    """Write everything; gives the files written. Raises PortError that names what cannot be written."""
    from aether_protocol.cli.commands.documents.schema import editors

    skeleton = files("aether_protocol.cli") / "skeleton"
    texts = {target: (skeleton / source).read_text("utf-8") for source, target in FILES.items()}
    texts = {target: text.replace("@NAME@", workflow) for target, text in texts.items()}
    texts[SCHEMA] = json.dumps(editors(), indent=2, ensure_ascii=False) + "\n"
    written = []
    for target, text in texts.items():
        path = folder / target
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
        except OSError as error:
            hint = "is there room, and may you write there?"
            raise PortError(f"cannot write {str(path)!r}: {error.strerror or error}", hint=hint) from None
        written.append(path)
    return written
