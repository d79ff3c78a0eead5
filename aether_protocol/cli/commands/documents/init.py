"""`aether init NAME`: a folder to start from.

Law: what it makes passes `aether validate`, `aether run` and `aether test` at once.
"""

from __future__ import annotations

import json
import os
import re
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import click
from msgspec import Struct

from aether_protocol.cli.command import argument, command_with, option
from aether_protocol.cli.exits import FINE
from aether_protocol.cli.value_types import FOLDER, Location
from aether_protocol.errors import PortError, UsageError

EPILOG = """\b
Examples:
  aether init hello
  aether run hello/workflow.yaml -p name=Ada
  aether init hello --to workflows/hello"""

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


class InitOptions(Struct, frozen=True, kw_only=True):
    name: Annotated[str, argument("NAME")]
    folder: Annotated[
        str | None,
        option("--to", old=["--output"], type=Location(FOLDER), metavar="DIR",
               help="The folder to make; NAME is then the name of the workflow alone."),
    ] = None


@command_with(InitOptions, "init", epilog=EPILOG)
def command(options: InitOptions) -> int:
    """Make a new folder with a workflow, a test for it, editor settings and a CI file.

    NAME is the folder to make; its last part becomes the name of the workflow. With . it is this folder: what is in it
    stays, and a file that would be written over is an error.
    """
    folder = Path(options.name if options.folder is None else options.folder)
    whole = os.path.realpath(folder)
    here = whole == os.getcwd()
    name = options.name if options.folder is not None else near_name(os.path.basename(whole)) if here else folder.name
    if not NAME.fullmatch(name):
        hint = "use lower-case letters, digits and hyphens, 63 at most"
        raise UsageError(f"{name!r} cannot be the name of a workflow", hint=hint)
    check_free(folder, here=here)
    for path in make(folder, name):
        click.echo(f"  {path}")
    click.echo("\nNow try:")
    at = "" if here else f"{folder}/"
    for line in (f"run {at}workflow.yaml -p name=Ada", f"test {folder}", f"validate {folder}"):
        click.echo(f"  aether {line}")
    return FINE


def check_free(folder: Path, *, here: bool) -> None:
    """Raise UsageError where something is in the way."""
    if here:
        taken = next((target for target in (*FILES.values(), SCHEMA) if os.path.lexists(target)), None)
        if taken is not None:
            raise UsageError(f"{taken!r} is there already", hint="move it away, or name a new folder")
    elif os.path.lexists(folder) and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{str(folder)!r} is there already and not empty", hint="choose another name, or '.' in it")


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
