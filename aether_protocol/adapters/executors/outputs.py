"""What a program wrote, read as the outputs of its task (EXEC-3, DATA-9).

Law: a value comes out whole or not at all, and what nothing keeps is reported. A fault keeps the outputs from being what they
should be; a warning says what was left out and changes nothing. What is quoted is masked before it is cut.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct, field

from aether_protocol.adapters.executors.io_files import OutputsError, read_file
from aether_protocol.adapters.executors.results import read_json, read_typed, shorten
from aether_protocol.diagnostics.suggest import did_you_mean
from aether_protocol.expressions.values import Json
from aether_protocol.plan.model import OutputBinding

QUOTED: Final = 80  # characters of a line in a message
NAMED: Final = 3  # names in a warning

_NAME: Final = re.compile(r"[A-Za-z_][-A-Za-z0-9_]{0,62}", re.ASCII)  # DOC-4
_BLOCK: Final = re.compile(r"\s*([^\s=<]+)\s*<<(?![<=])\s*(\S+)\s*", re.ASCII)

Mask = Callable[[str], str]


class CollectedOutputs(Struct):
    """Outputs so far, with what was strange about them."""

    mask: Mask
    values: dict[str, Json] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def take(self, name: str, text: str, type_: str) -> None:
        """Take text as the value of an output, read as JSON where its type is not string and no spelling is lost (DOC-10)."""
        self.values[name] = read_typed(text, type_)


def read_outputs(text: str, declared: Collection[OutputBinding], found: CollectedOutputs) -> None:
    """The outputs file: a JSON object, or lines `name=value` and blocks from `name<<END` to `END`; empty gives nothing.

    Names that are not declared, where any is, are a warning. Raises OutputsError with the line."""
    types = {output.name: output.type for output in declared}
    if text.lstrip().startswith("{"):
        try:
            written = dict(read_json(text))
        except ValueError as error:
            raise OutputsError(f"the outputs file is not a JSON object: {error}") from None
        found.values.update(written)
    else:
        written = _read_lines(text, types, found)
    if types:
        _tell_undeclared([name for name in written if name not in types], types, found)


def _read_lines(text: str, types: Mapping[str, str], found: CollectedOutputs) -> dict[str, str]:
    """The texts by name, taken as outputs in the end: a line that is none spoils nothing that was read before."""
    texts: dict[str, str] = {}
    try:
        lines = enumerate(text.split("\n"), start=1)
        for number, line in lines:
            line = line.removesuffix("\r")
            if not line.strip():
                continue
            block = _BLOCK.fullmatch(line)
            name, equals, value = line.partition("=")
            if block is not None:
                name, end = block.groups()
                value = _block(lines, end, number, name, found.mask)
                equals = "="
            name = name.strip()
            if not equals or not _NAME.fullmatch(name):
                shown = shorten(found.mask(line), QUOTED)
                raise OutputsError(
                    f"line {number} of the outputs file is neither name=value nor the beginning of a block name<<END: {shown!r}"
                )
            texts[name] = value
    finally:
        for name, value in texts.items():
            found.take(name, value, types.get(name, "any"))
    return texts


def _block(lines: enumerate[str], end: str, number: int, name: str, mask: Mask) -> str:
    """The lines up to `end`, joined. Raises OutputsError."""
    block: list[str] = []
    for _, line in lines:
        if line.removesuffix("\r") == end:
            return "\n".join(block)
        block.append(line)
    name, end = mask(name), shorten(mask(end), QUOTED)
    raise OutputsError(f"the block {name!r} that begins in line {number} of the outputs file has no line {end!r} as its end")


def _tell_undeclared(names: list[str], types: Mapping[str, str], found: CollectedOutputs) -> None:
    if not names:
        return
    shown = []
    for name in names[:NAMED]:
        hint = did_you_mean(name, types)
        shown.append(repr(shorten(found.mask(name), QUOTED)) + (f" ({hint})" if hint else ""))
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    one = "output" if len(names) == 1 else "outputs"
    was = "was" if len(names) == 1 else "were"
    advice = "declare it, and write a value of several lines as a block name<<END" if len(names) == 1 else "declare them"
    found.warnings.append(f"{one} {', '.join(shown)}{more} {was} written and not kept, for want of a declaration: {advice}")


def read_stdout(stdout: str | None, limit: int, declared: Collection[OutputBinding], found: CollectedOutputs) -> None:
    """Standard output as the outputs `stdout` and `result`, less its last newline. None: it was larger than `limit`."""
    types = {output.name: output.type for output in declared}
    wanted = [name for name in ("stdout", "result") if name in types and name not in found.values]
    if stdout is None:
        size = f"standard output is larger than {limit} bytes, the limit of a value"
        if wanted:
            found.faults.append(f"output {wanted[0]!r}: {size}; keep it as an artifact (`stdout: {{artifact: NAME}}`)")
        elif not types:
            found.warnings.append(f"output 'stdout' is left out: {size}; the log has all of it")
        return
    text = stdout.removesuffix("\n")
    found.values.setdefault("stdout", text)
    if "result" in wanted:
        found.take("result", text, types["result"])


def read_files(declared: Collection[OutputBinding], folder: Path, found: CollectedOutputs) -> None:
    """The outputs whose `valueFrom.path` names a file under `folder` (SPEC-6), with a fault for each that is not there and that
    nothing else can fill.

    The text less one last newline is the value; it is read as JSON where the declared type is neither string nor any.
    """
    for output in declared:
        if output.file is None:
            continue
        try:
            text = read_file(folder / output.file, f"file {output.file!r} of output {output.name!r}").removesuffix("\n")
        except OutputsError as fault:
            if not output.sources:
                found.faults.append(str(fault))
            continue
        found.values[output.name] = text if output.type == "any" else read_typed(text, output.type)
