"""Options that several commands share: one spelling, one help text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace

import click

from aether_protocol.documents.source import DEFAULT, Limits

library_option = click.option(
    "--library", "-L", multiple=True, type=click.Path(exists=True), metavar="DIR",
    help="Folder (or file) with WorkflowTemplates to look references up in; may be given several times.",
)
name_option = click.option(
    "--name", metavar="NAME", help="Which workflow, where the file holds several (its metadata.name)."
)


def _read_limits(context: click.Context, option: click.Parameter, given: Sequence[str]) -> Limits:
    """`nodes=5000000` and the like, on top of the defaults (DOC-6)."""
    names = [field.name for field in fields(Limits)]
    limits = DEFAULT
    for text in given:
        name, _, number = text.partition("=")
        if name not in names or not number.isdecimal() or not 0 < int(number) < 1 << 40:
            raise click.BadParameter(f"{text!r} is not one of {', '.join(f'{known}=N' for known in names)}")
        limits = replace(limits, **{name: int(number)})
    return limits


limits_option = click.option(
    "--limit", "limits", multiple=True, metavar="NAME=N", callback=_read_limits,
    help="What a document may have at most: bytes (of a file), nodes, nesting.",
)
