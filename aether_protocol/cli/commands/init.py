"""`aether init NAME`: a folder to start from.

Law: what it makes passes `aether validate`, `aether run` and `aether test` at once.
"""

from __future__ import annotations

import json
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

    NAME is the folder to make; its last part becomes the name of the workflow.
    """
    folder = Path(name)
    workflow = folder.name
    if not NAME.fullmatch(workflow):
        raise UsageError(
            f"{workflow!r} cannot be the name of a workflow",
            hint="use lower-case letters, digits and hyphens, 63 at most",
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{str(folder)!r} is there already and not empty", hint="choose another name")
    try:
        written = make(folder, workflow)
    except OSError as error:
        raise PortError(f"cannot write {str(error.filename)!r}: {error.strerror}") from None
    for path in written:
        click.echo(f"  {path}")
    click.echo("\nNow try:")
    for line in (f"run {folder}/workflow.yaml -p name=Ada", f"test {folder}", f"validate {folder}"):
        click.echo(f"  aether {line}")
    return 0


def make(folder: Path, workflow: str) -> list[Path]:
    """Write everything; gives the files written. Raises OSError."""
    from aether_protocol.cli.commands.schema import editors

    skeleton = files("aether_protocol.cli") / "skeleton"
    texts = {target: (skeleton / source).read_text("utf-8") for source, target in FILES.items()}
    texts = {target: text.replace("@NAME@", workflow) for target, text in texts.items()}
    texts[SCHEMA] = json.dumps(editors(), indent=2, ensure_ascii=False) + "\n"
    written = []
    for target, text in texts.items():
        path = folder / target
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        written.append(path)
    return written
