"""Pages of documentation as programs: what a reader would type is run, what a page claims to show is compared.

Law: a page is carried out from top to bottom in one empty folder. A fenced block with `title="name"` is a file to write;
`console` blocks hold `$ command` lines, each followed by what it prints (`...` stands for any text, on a line of its own
for any lines; nothing at all leaves the output open). A command that fails must be followed by `$ echo $?`. Other
`python` blocks are executed, other `yaml`, `json` and `toml` blocks must at least be readable. `$ aether serve ... &` starts a
server on a free port, for which the page's own address (127.0.0.1:7234) stands in all that follows; it ends with the page.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from click.testing import CliRunner
from ruamel.yaml import YAML

import aether_protocol
from aether_protocol.cli import main
from tests.e2e.process import read_until

_FENCE = re.compile(
    r"^(?P<indent> *)(?P<ticks>```+)(?P<language>[a-z]+)(?P<info>[^\n`]*)\n(?P<body>.*?)^(?P=indent)(?P=ticks)$", re.M | re.S
)
_TITLE = re.compile(r'\btitle="([^"]+)"')
_SHELL = re.compile(r"[|&;<>*$`#]|^\w+=")  # needs a real shell
SERVE = re.compile(r"aether serve\b(?P<options>[^&|;<>]*) &")
USUAL = "127.0.0.1:7234"  # where a server is, unless it is told otherwise
PATIENCE_S = 60
INSTALLED = Path(aether_protocol.__file__).resolve().parents[1]


@dataclass(frozen=True)
class Block:
    """One fenced block: `line` is where its text begins."""

    language: str
    title: str | None
    body: str
    line: int


@dataclass(frozen=True)
class Command:
    """One command and what it should print, None where that is left open."""

    text: str
    expected: str | None
    line: int


def blocks(text: str) -> Iterator[Block]:
    for found in _FENCE.finditer(text):
        title = _TITLE.search(found["info"])
        line = text.count("\n", 0, found.start("body")) + 1
        yield Block(found["language"], title[1] if title else None, textwrap.dedent(found["body"]), line)


def commands(block: Block) -> Iterator[Command]:
    """A command continues over lines that end in a backslash."""
    lines = block.body.splitlines()
    number = 0
    while number < len(lines):
        start = number
        if not lines[number].startswith("$ "):
            raise AssertionError(f"line {block.line + number}: {lines[number]!r} belongs to no command")
        text = lines[number][2:]
        while text.endswith("\\"):
            number += 1
            text = text[:-1] + lines[number].lstrip("> ")
        number += 1
        shown = number
        while number < len(lines) and not lines[number].startswith("$ "):
            number += 1
        expected = "\n".join(lines[shown:number]).rstrip()
        yield Command(text, expected or None, block.line + start)


def agrees(expected: str, actual: str) -> bool:
    """Whether `actual` is what a page shows; `...` stands for anything within a line, alone for any number of lines."""
    pattern = ""
    for line in expected.splitlines():
        if line.strip() == "...":
            pattern += r"(?:.*\n)*?"
        else:
            pattern += ".*".join(re.escape(part) for part in line.rstrip().split("...")) + r"\n"
    text = "".join(f"{line.rstrip()}\n" for line in actual.rstrip().splitlines())
    return re.fullmatch(pattern, text) is not None


class Reader:
    """A reader who tries out all that a page says. What is installed for them is the code under test, in a shell too."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.code = 0
        self.names: dict[str, object] = {"__name__": "page"}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.environment = {**os.environ, "PATH": path, "NO_COLOR": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        self.servers: list[subprocess.Popen[str]] = []
        self.address = USUAL  # of the server

    def read(self, page: Path) -> int:
        """Carry out a page; gives the number of its blocks. Raises AssertionError with the place of a false claim."""
        count = 0
        try:
            for block in blocks(page.read_text("utf-8")):
                count += 1
                try:
                    self.carry_out(block)
                except AssertionError as error:
                    raise AssertionError(f"{page.name}: {error}") from None
                except Exception as error:
                    raise AssertionError(f"{page.name}:{block.line}: {type(error).__name__}: {error}") from error
        finally:
            for server in self.servers:
                server.terminate()
                server.communicate(timeout=PATIENCE_S)
        assert self.code == 0, f"{page.name}: the last command failed with {self.code}"
        return count

    def carry_out(self, block: Block) -> None:
        if block.title is not None:
            file = self.folder / block.title
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.body, "utf-8")
        elif block.language == "console":
            for command in commands(block):
                self.type_in(command)
        elif block.language == "python":
            os.chdir(self.folder)
            exec(compile(block.body.replace(USUAL, self.address), f"<line {block.line}>", "exec"), self.names)
        elif block.language == "yaml":
            list(YAML(typ="safe").load_all(block.body))
        elif block.language == "json":
            json.loads(block.body)
        elif block.language == "toml":
            tomllib.loads(block.body)

    def type_in(self, command: Command) -> None:
        if command.text == "echo $?":
            assert str(self.code) == command.expected, f"line {command.line}: the exit code is {self.code}"
            self.code = 0
            return
        assert self.code == 0, f"line {command.line}: the command before failed with {self.code}:\n{self.printed}"
        self.code, self.printed = self.run(command.text.replace(USUAL, self.address))
        self.printed = self.printed.replace(self.address, USUAL)
        if command.expected is not None:
            same = agrees(command.expected, self.printed)
            assert same, f"line {command.line}: {command.text!r} prints\n{self.printed}\nand not\n{command.expected}"

    def run(self, text: str) -> tuple[int, str]:
        if text.startswith("cd "):
            self.folder = (self.folder / text[3:]).resolve(strict=True)
            return 0, ""
        if text.startswith("export "):
            self.environment.update([shlex.split(text)[1].split("=", 1)])
            return 0, ""
        if (serve := SERVE.fullmatch(text)) is not None:
            self.serve(shlex.split(serve["options"]))
            return 0, ""
        bare = re.sub(r"'[^']*'", "''", text)
        if text.startswith("aether ") and not _SHELL.search(bare) and "PYTHONPATH" not in self.environment:
            return self.aether(shlex.split(text)[1:])
        path = os.pathsep.join(filter(None, [self.environment.get("PYTHONPATH"), str(INSTALLED)]))
        done = subprocess.run(
            ["sh", "-c", text],
            cwd=self.folder,
            env={**self.environment, "PYTHONPATH": path},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        return done.returncode, done.stdout

    def serve(self, options: list[str]) -> None:
        """Start a server; wait until it says where it is."""
        command = [sys.executable, "-m", "aether_protocol.cli", "serve", *options, "--http-port", "0"]
        environment = {**self.environment, "PYTHONPATH": str(INSTALLED)}
        server = subprocess.Popen(
            command,
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.servers.append(server)
        said = read_until(server.stderr, "serving ").splitlines()[-1]
        self.address = re.findall(r"http://(\S+\d)", said)[0]

    def aether(self, arguments: list[str]) -> tuple[int, str]:
        """The command line in this process, which saves starting one."""
        os.chdir(self.folder)
        with CliRunner(env=self.environment).isolation() as (_out, _err, both):
            code = main(arguments)
            return code, both.getvalue().decode()

