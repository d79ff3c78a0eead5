"""The settings that hold, each with its source.

Law: of a value the highest source counts, as a whole: flag, variable, profile, project, user, system, default. Files are read
once, when a configuration is loaded; a variable is looked at when its setting is asked for, so that a faulty one stops only
those whom it concerns. What is shown or recorded of a value is never a password.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from msgspec import Struct, convert

from aether_protocol.assembly.configuration.find import ConfigurationFile, find_files, read_named
from aether_protocol.assembly.configuration.sections import (
    NAMED_SECTIONS,
    SECTIONS,
    ArtifactsSection,
    BrokerSection,
    ConcurrencySection,
    ExecutorSettings,
    LibrarySection,
    LimitsSection,
    LoggingSection,
    PassivationSection,
    SecretsSection,
    StoreSection,
    TracingSection,
    VariablesSection,
    WorkspacesSection,
)
from aether_protocol.assembly.configuration.settings import ANY_NAME, setting_of, settings
from aether_protocol.errors import DocumentError, UsageError
from aether_protocol.expressions.values import Json

if TYPE_CHECKING:
    from aether_protocol.assembly.configuration.tables import FileSetting, Tables

PROFILE_VARIABLE: Final = "AETHER_PROFILE"
FILE_VARIABLE: Final = "AETHER_CONFIG"

Kind = Literal["flag", "variable", "profile", "project", "user", "system", "default"]
_Section = TypeVar("_Section", bound=Struct)


class SettingSource(Struct, frozen=True):
    """Where a value comes from. `name` is the flag, the variable or the file; `profile` that of `[profile.NAME]`."""

    kind: Kind
    name: str = ""
    line: int = 0
    profile: str | None = None

    def __str__(self) -> str:
        """The flag, the variable, or `file:line`."""
        place = f"{self.name}:{self.line}" if self.line else self.name
        return f"{place} (profile {self.profile})" if self.profile else place or "default"


class EffectiveSetting(Struct, frozen=True):
    """A value that holds, and its source."""

    key: str
    value: Json
    source: SettingSource


class Configuration:
    """The settings of a process, from its files, variables and flags.

    Made by `load_configuration`. `profile` is the one that was chosen; `files` those that were read, the system's first;
    `warnings` are about what does not count in them.
    """

    def __init__(
        self,
        files: list[tuple[ConfigurationFile, Tables]],
        profile: str | None,
        environ: Mapping[str, str],
        flags: Mapping[str, tuple[str, Json]],
    ) -> None:
        self.files = [file for file, _ in files]
        self.profile = profile
        self.warnings = [fault for _, tables in files for fault in tables.faults if fault.severity == "warning"]
        self._environ = environ
        self._flags = flags
        self._read = files
        self._stored = self._merged()

    def _merged(self) -> dict[str, EffectiveSetting]:
        """What the files say: of a key the last of these counts."""
        merged: dict[str, EffectiveSetting] = {}
        for file, tables in self._read:
            merged |= _effective(tables.settings, file, None)
        for file, tables in self._read:
            if self.profile is not None:
                merged |= _effective(tables.profiles.get(self.profile, {}), file, self.profile)
        return merged

    def with_flags(self, flags: Mapping[str, tuple[str, Json]]) -> Configuration:
        """The same, with what was given on a command line: {key: (flag, value)}."""
        return Configuration(self._read, self.profile, self._environ, {**self._flags, **flags})

    def without_flags(self) -> Configuration:
        """The same, without what was given on a command line."""
        return Configuration(self._read, self.profile, self._environ, {})

    def find(self, key: str) -> EffectiveSetting:
        """The value of a setting and its source.

        Raises:
            UsageError: a variable says something that this setting does not take.
            KeyError: there is no such setting.
        """
        setting = setting_of(key)
        if key in self._flags:
            flag, value = self._flags[key]
            return EffectiveSetting(key, value, SettingSource("flag", flag))
        text = self._environ.get(setting.variable) if setting.variable else None
        if text:
            try:
                value = setting.check(setting.read_text(text))
            except UsageError as error:
                told = f"{setting.variable} is {setting.shown(text)!r}, not {error.message}"
                raise UsageError(told, hint=error.hint) from None
            return EffectiveSetting(key, value, SettingSource("variable", setting.variable))
        return self._stored.get(key) or EffectiveSetting(key, setting.default, SettingSource("default"))

    def value(self, key: str) -> Any:
        """The value of a setting. Raises as `find`."""
        return self.find(key).value

    def all(self) -> Iterator[EffectiveSetting]:
        """Every setting, those with names of the user's own as far as they are given. Raises as `find`."""
        for key in settings():
            if ANY_NAME not in key:
                yield self.find(key)
            else:
                yield from map(self.find, _given(key, self._stored, self._flags))

    def section(self, section: type[_Section]) -> _Section:
        """A section with its values. Raises as `find`."""
        name = next(name for name, known in SECTIONS.items() if known is section)
        return convert({key: self.value(f"{name}.{key}") for key in section.__struct_fields__}, section)

    @property
    def store(self) -> StoreSection:
        return self.section(StoreSection)

    @property
    def broker(self) -> BrokerSection:
        return self.section(BrokerSection)

    @property
    def variables(self) -> VariablesSection:
        return self.section(VariablesSection)

    @property
    def library(self) -> LibrarySection:
        return self.section(LibrarySection)

    @property
    def secrets(self) -> SecretsSection:
        return self.section(SecretsSection)

    @property
    def artifacts(self) -> ArtifactsSection:
        return self.section(ArtifactsSection)

    @property
    def workspaces(self) -> WorkspacesSection:
        return self.section(WorkspacesSection)

    @property
    def concurrency(self) -> ConcurrencySection:
        return self.section(ConcurrencySection)

    @property
    def passivation(self) -> PassivationSection:
        return self.section(PassivationSection)

    @property
    def limits(self) -> LimitsSection:
        return self.section(LimitsSection)

    @property
    def tracing(self) -> TracingSection:
        return self.section(TracingSection)

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables that count."""
        return self._environ

    @property
    def logging(self) -> LoggingSection:
        return self.section(LoggingSection)

    def executor(self, name: str) -> ExecutorSettings:
        """The settings of a type of executor."""
        section = NAMED_SECTIONS["executors"]
        return convert({key: self.value(f"executors.{name}.{key}") for key in section.__struct_fields__}, ExecutorSettings)

    def disabled_executors(self) -> dict[str, str]:
        """The types of executors that are turned off, and by what."""
        keys = _given(f"executors.{ANY_NAME}.enabled", self._stored, self._flags)
        found = (one for one in map(self.find, keys) if one.value is False)
        return {one.key.split(".", 1)[1].rpartition(".")[0]: f"by {one.key} = false of {one.source}" for one in found}

    def notifiers(self) -> dict[str, str]:
        """The URLs of the notifiers, by name."""
        found = (one for one in map(self.find, _given(f"notifiers.{ANY_NAME}.url", self._stored, self._flags)) if one.value)
        return {one.key.split(".", 1)[1].rpartition(".")[0]: one.value for one in found}

    @property
    def digest(self) -> str:
        """The sha256, in hex, of all values that hold, without passwords. Raises as `find`."""
        import hashlib
        import json

        values = {one.key: setting_of(one.key).shown(one.value) for one in self.all()}
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode("utf-8", "surrogatepass")).hexdigest()


def _given(key: str, *among: Iterable[str]) -> list[str]:
    """The keys `among` these that have a name of the user's own where the key has ANY_NAME."""
    start, end = key.split(ANY_NAME)
    return sorted(one for one in set().union(*among) if one.startswith(start) and one.endswith(end))


def load_configuration(
    folder: str | os.PathLike[str] | None = None,
    *,
    file: str | os.PathLike[str] | None = None,
    profile: str | None = None,
    environ: Mapping[str, str] | None = None,
) -> Configuration:
    """Read the configuration that holds in a folder.

    Args:
        folder: where the search for the project's file begins; by default the working directory.
        file: a file to read in place of all others (`os.devnull`: none at all); by default what AETHER_CONFIG names, else the
            project's, the user's and the system's are looked for.
        profile: the `[profile.NAME]` whose settings win over those of the files; by default what AETHER_PROFILE names.
        environ: the variables; by default those of the process.

    Raises:
        DocumentError: files have faults; its diagnostics tell all of them.
        UsageError: there is no such file or profile, or a file belongs to another user.
        PortError: a file cannot be read.
    """
    environ = os.environ if environ is None else environ
    found = find_configuration(folder, file=file, environ=environ)
    read = _read_all(found) if found else []
    profile = profile or environ.get(PROFILE_VARIABLE) or None
    if profile is not None:
        _check_profile(profile, [name for _, tables in read for name in tables.profiles])
    return Configuration(read, profile, environ, {})


def find_configuration(
    folder: str | os.PathLike[str] | None = None,
    *,
    file: str | os.PathLike[str] | None = None,
    environ: Mapping[str, str] | None = None,
) -> list[ConfigurationFile]:
    """The files that count, as they were read, the system's first. Arguments and errors are those of `load_configuration`,
    but for what is in the files."""
    environ = os.environ if environ is None else environ
    named = os.fspath(file) if file is not None else environ.get(FILE_VARIABLE)
    if named:
        return [one] if (one := read_named(named)) is not None else []
    return find_files(os.path.abspath(folder) if folder is not None else _working_directory(), environ)


def _working_directory() -> str:
    try:
        return os.getcwd()
    except OSError:  # it was removed
        return os.path.abspath(os.sep)


def _read_all(files: list[ConfigurationFile]) -> list[tuple[ConfigurationFile, Tables]]:
    """What files say. Raises DocumentError with the faults of all of them."""
    from aether_protocol.assembly.configuration.tables import read_tables  # only where there is a file

    read = [(file, read_tables(file)) for file in files]
    faults = [fault for _, tables in read for fault in tables.faults]
    wrong = list(dict.fromkeys(fault.file for fault in faults if fault.severity == "error"))
    if wrong:
        names = ", ".join(map(repr, wrong))
        sources = {file.path: file.data for file in files}
        raise DocumentError(f"the configuration in {names} is not valid", diagnostics=faults, sources=sources)
    return read


def _check_profile(profile: str, known: list[str]) -> None:
    if profile in known:
        return
    from aether_protocol.diagnostics.suggest import did_you_mean

    listed = f"known: {', '.join(dict.fromkeys(known))}" if known else "no file has a [profile.NAME]"
    raise UsageError(f"there is no profile {profile!r}", hint=did_you_mean(profile, known, listed))


def _effective(entries: Mapping[str, FileSetting], file: ConfigurationFile, profile: str | None) -> dict[str, EffectiveSetting]:
    kind: Kind = file.layer if profile is None else "profile"
    return {
        key: EffectiveSetting(key, entry.value, SettingSource(kind, file.path, entry.line, profile))
        for key, entry in entries.items()
    }
