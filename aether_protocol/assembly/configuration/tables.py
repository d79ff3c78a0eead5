"""What a configuration file says: its settings with their places, and everything that is wrong with it.

Law: all faults of a file are found at once, each with file, line and column; a file with a fault gives no setting at all.
Names of the system that this one replaces are understood where they mean the same ([persistence] mode and db_path, [server]
db_path), and checked like those that they stand for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from msgspec import Struct, field

from aether_protocol.assembly.configuration.find import FILE, ConfigurationFile
from aether_protocol.assembly.configuration.sections import NAMED_SECTIONS, SECTIONS
from aether_protocol.assembly.configuration.settings import ANY_NAME, Setting, setting_of, settings
from aether_protocol.assembly.configuration.toml_text import NotTomlError, Path, TomlText, read_toml
from aether_protocol.diagnostics import CODES, Diagnostic
from aether_protocol.diagnostics.suggest import did_you_mean
from aether_protocol.errors import UsageError
from aether_protocol.expressions.values import Json
from aether_protocol.views.text import one_line

PROFILES: Final = "profile"
MOST: Final = 50  # faults of one file that are reported

Renamed = Callable[[Json], tuple[str, Json]]


class FileSetting(Struct, frozen=True):
    """A setting as a file gives it. `line` and `column` are those of its key, `name` is what the file calls it."""

    value: Json
    line: int
    column: int
    name: str


class Tables(Struct):
    """The settings of a file by key, those of each profile, and what is wrong with it."""

    settings: dict[str, FileSetting] = field(default_factory=dict)
    profiles: dict[str, dict[str, FileSetting]] = field(default_factory=dict)
    faults: list[Diagnostic] = field(default_factory=list)


def _mode(value: Json) -> tuple[str, Json]:
    return ("store.url", value) if value == "memory" else ("store.tier", value)


def _file_of(value: Json) -> tuple[str, Json]:
    return "store.url", f"sqlite:{value}" if isinstance(value, str) and value else value


# The words of prior systems, with the setting that each stands for.
RENAMED: Final[Mapping[str, Renamed]] = {
    "persistence.mode": _mode,
    "persistence.db_path": _file_of,
    "server.db_path": _file_of,
}
_OLD_SECTIONS: Final = {key.partition(".")[0] for key in RENAMED}


def read_tables(file: ConfigurationFile) -> Tables:
    """Everything that a file says."""
    reader = _Reader(file)
    try:
        reader.text = read_toml(file.data)
    except NotTomlError as error:
        reader.note("AE601", (error.line, error.column), error.message, (), error.hint)
    else:
        reader.read_whole()
    if file.ignored is not None:
        message = f"its [tool.aether] does not count beside {FILE!r} in the same folder"
        reader.tables.faults.append(
            Diagnostic(
                file=file.ignored, line=0, column=0, code="AE605", severity="warning", message=message, path="tool.aether"
            )
        )
    return reader.tables


class _Reader:
    def __init__(self, file: ConfigurationFile) -> None:
        self.file = file
        self.text = TomlText({}, {}, {})
        self.tables = Tables()

    def note(self, code: str, place: tuple[int, int], message: str, path: Path, hint: str | None = None) -> None:
        if len(self.tables.faults) < MOST:
            told = ".".join(map(str, path))
            self.tables.faults.append(
                Diagnostic(self.file.path, *place, code, CODES[code].severity, message=message, path=told, hint=hint)
            )

    def read_whole(self) -> None:
        table: Json = self.text.value
        for name in self.file.table:
            table = table.get(name) if isinstance(table, dict) else None
        at: Path = self.file.table
        if not self._is_table(table, at):
            return
        known = [*SECTIONS, *NAMED_SECTIONS, PROFILES]
        for name, inner in table.items():
            if name != PROFILES:
                self._section((*at, name), name, inner, known, self.tables.settings)
        profiles = table.get(PROFILES, {})
        if not self._is_table(profiles, (*at, PROFILES)):
            return
        for profile, tables in profiles.items():
            place = (*at, PROFILES, profile)
            entries = self.tables.profiles[profile] = {}
            if self._is_table(tables, place):
                for name, inner in tables.items():
                    self._section((*place, name), name, inner, known[:-1], entries)

    def _is_table(self, value: Json, path: Path) -> bool:
        if isinstance(value, dict):
            return True
        self.note("AE603", self.text.values.get(path, (0, 0)), f"{path[-1]} is {_told(value)}, not a table", path)
        return False

    def _section(self, path: Path, name: str, value: Json, known: list[str], into: dict[str, FileSetting]) -> None:
        if name not in known and name not in _OLD_SECTIONS:
            self._unknown(path, name, known)
            return
        if not self._is_table(value, path):
            return
        for key, inner in value.items():
            if name not in NAMED_SECTIONS:
                self._setting((*path, key), f"{name}.{key}", inner, into)
            elif self._is_table(inner, (*path, key)):
                for last, one in inner.items():
                    self._setting((*path, key, last), f"{name}.{key}.{last}", one, into)

    def _setting(self, path: Path, key: str, value: Json, into: dict[str, FileSetting]) -> None:
        meant = key
        if key in RENAMED:
            meant, value = RENAMED[key](value)
        setting = _find(meant)
        if setting is None:
            self._unknown(path, str(path[-1]), list(_beside(key)))
            return
        try:
            value = setting.placed(setting.check(value), self.file.folder)
        except UsageError as error:
            message = f"{key} is {_told(setting.shown(value))}, not {error.message}"
            self.note("AE603", self.text.values[path], message, path, error.hint)
            return
        place = self.text.keys[path]
        first = into.get(meant)
        if first is None:
            into[meant] = FileSetting(value, *place, key)
        elif "memory" in (first.value, value) and {key, first.name} <= {*RENAMED}:
            into[meant] = FileSetting("memory", *place, key)  # the prior system asks for a file in any case
        else:
            self.note("AE604", place, f"{key} sets what line {first.line} sets already", path, "keep one of them")

    def _unknown(self, path: Path, name: str, known: list[str]) -> None:
        hint = did_you_mean(name, known, f"known here: {', '.join(known)}")
        self.note("AE602", self.text.keys[path], f"unknown key {one_line(name, 80)!r}", path, hint)


def _find(key: str) -> Setting | None:
    try:
        return setting_of(key)
    except KeyError:
        return None


def _beside(key: str) -> Iterator[str]:
    """The keys that stand where this one does."""
    section = key.partition(".")[0]
    within = f"{section}.{ANY_NAME}." if section in NAMED_SECTIONS else f"{section}."
    yield from (known.removeprefix(within) for known in (*settings(), *RENAMED) if known.startswith(within))


def _told(value: Json) -> str:
    kinds: dict[type, str] = {dict: "a table", list: "a list"}
    return kinds.get(type(value)) or one_line(repr(value), 60)
