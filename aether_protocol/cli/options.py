"""Options that several commands share: one spelling, one help text."""

from __future__ import annotations

import click

library_option = click.option(
    "--library", "-L", multiple=True, type=click.Path(exists=True), metavar="DIR",
    help="Folder (or file) with WorkflowTemplates to look references up in; may be given several times.",
)
name_option = click.option(
    "--name", metavar="NAME", help="Which workflow, where the file holds several (its metadata.name)."
)
