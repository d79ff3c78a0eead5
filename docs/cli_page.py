"""Writes docs/reference/cli.md from the commands themselves: `python docs/cli_page.py`.

Law: the page is what `--help` says, nothing else; tests/unit/cli/test_pages.py keeps both equal.
"""

from __future__ import annotations

from pathlib import Path

import click

from aether_protocol.cli.root import root

PAGE = Path(__file__).parent / "reference" / "cli.md"
WIDTH = 80
HEAD = """# Command line

This page is generated from the help texts of the commands.

Results go to standard output, or to the file of `--to`; everything else goes to standard error, and `-q` leaves out what is
not an error or a warning. Colours: `--color`, then `NO_COLOR`, then `FORCE_COLOR`, then whether it is a terminal. Text shows
times in the zone of `TZ`, which is named; JSON is in UTC. `ae` is `aether`. `AETHER_DEBUG=1` shows
where an unexpected error happened. Completion for the shell:
`eval "$(_AETHER_COMPLETE=bash_source aether)"` (or
`zsh_source`, `fish_source`).

Runs are kept in the nearest `.aether/aether.db` up to the root of the repository, or a new one in the working directory;
`--store` on any command, `AETHER_STORE` or [`aether.toml`](../how-to/configure.md) names another
[store](../how-to/durable-runs.md#choose-a-store). `RUN` is a run's id, the beginning of one, or `latest`. Exit codes are
the same [everywhere](run-report.md#exit-codes).
"""


def page() -> str:
    """The whole page."""
    parts = [HEAD, _section("aether", root, None)]
    with click.Context(root, info_name="aether") as ctx:
        for name in root.list_commands(ctx):
            command = root.get_command(ctx, name)
            assert command is not None
            parts.append(_section(f"aether {name}", command, ctx))
            if isinstance(command, click.Group):
                with click.Context(command, info_name=name, parent=ctx) as inner:
                    for one in command.list_commands(inner):
                        part = command.get_command(inner, one)
                        assert part is not None
                        parts.append(_section(f"aether {name} {one}", part, inner))
    return "\n".join(parts)


def _section(title: str, command: click.Command, parent: click.Context | None) -> str:
    name = title.rpartition(" ")[2]
    settings = {**command.context_settings, "terminal_width": WIDTH, "max_content_width": WIDTH}
    if parent is not None:
        settings["help_option_names"] = ["-h", "--help"]
    with click.Context(command, info_name=name, parent=parent, **settings) as ctx:
        text = command.get_help(ctx)
    lines = "\n".join(line.rstrip() for line in text.splitlines())
    return f"## {title}\n\n```text\n{lines}\n```\n"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
