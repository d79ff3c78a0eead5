"""Where configuration files lie, and whether they may be trusted.

Law: what a folder says is only followed where its owner alone could have written it: the file, a link that leads to it and
the folder that holds it belong to the user of this process or to root. Else it is refused, and the message says whose it is. A
file that is named (AETHER_CONFIG) is taken as it is.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from typing import Final, Literal

from msgspec import Struct

from aether_protocol.errors import PortError, UsageError

FILE: Final = "aether.toml"
PYPROJECT: Final = "pyproject.toml"
SYSTEM_FOLDER: Final = "/etc/aether"
ROOT_MARKS: Final = (".git", ".hg", ".jj")  # a file `.git` is that of a worktree or a submodule
NAMED_HINT: Final = "AETHER_CONFIG=FILE names one that you trust, AETHER_CONFIG=/dev/null takes none"

Layer = Literal["system", "user", "project"]


class ConfigurationFile(Struct, frozen=True):
    """A file that counts, as it was read. `table` leads to the settings in it: () or ("tool", "aether")."""

    path: str
    layer: Layer
    data: bytes
    table: tuple[str, ...] = ()
    ignored: str | None = None  # a pyproject.toml beside it, which has a [tool.aether] that does not count

    @property
    def folder(self) -> str:
        """The folder that relative paths in it count from."""
        return os.path.dirname(os.path.abspath(self.path))


def project_folders(folder: str) -> list[str]:
    """The folder and its parents up to the root of the repository; outside of a repository the folder alone."""
    folders = []
    at = folder
    while True:
        folders.append(at)
        if any(os.path.lexists(os.path.join(at, mark)) for mark in ROOT_MARKS):
            return folders
        above = os.path.dirname(at)
        if above == at:
            return folders[:1]
        at = above


def find_files(folder: str, environ: Mapping[str, str]) -> list[ConfigurationFile]:
    """The files that count, the system's first, the project's last.

    Raises:
        UsageError: one is not a file, or belongs to another user.
        PortError: one cannot be read.
    """
    found = [
        ConfigurationFile(path, layer, data)
        for layer, path in _shared_files(environ)
        if (data := read_trusted(path)) is not None
    ]
    project = _project_file(folder)
    return [*found, project] if project is not None else found


def read_named(path: str) -> ConfigurationFile | None:
    """The file that was named; None for the null device, which stands for no file at all."""
    if path == os.devnull:
        return None
    data = _read(path, trusted=True)
    if data is None:
        raise UsageError(f"there is no configuration file {path!r}", hint="check the spelling of the path")
    table = ("tool", "aether") if os.path.basename(path) == PYPROJECT else ()
    return ConfigurationFile(path, "project", data, table)


def read_trusted(path: str) -> bytes | None:
    """What a file holds, None where there is none. Raises as `find_files`."""
    return _read(path, trusted=False)


def check_owner(path: str, *statuses: os.stat_result, hint: str = NAMED_HINT) -> None:
    """Refuse what another user could have put there.

    Raises:
        UsageError: an owner is neither this process's user nor root.
    """
    own = {0, os.geteuid()}
    if os.geteuid() == 0 and os.environ.get("SUDO_UID", "").isdigit():
        own.add(int(os.environ["SUDO_UID"]))
    other = next((status.st_uid for status in statuses if status.st_uid not in own), None)
    if other is not None:
        raise UsageError(f"{path!r} is not used: it or its folder belongs to {_user(other)}", hint=hint)


def _shared_files(environ: Mapping[str, str]) -> list[tuple[Layer, str]]:
    home = environ.get("XDG_CONFIG_HOME") or ""
    if not os.path.isabs(home):  # the XDG rules say that a relative one is to be ignored
        home = os.path.join(environ.get("HOME") or os.path.expanduser("~"), ".config")
    files: list[tuple[Layer, str]] = [("system", os.path.join(SYSTEM_FOLDER, FILE))]
    if os.path.isabs(home):
        files.append(("user", os.path.join(home, "aether", FILE)))
    return files


def _project_file(folder: str) -> ConfigurationFile | None:
    """The nearest `aether.toml`, or pyproject.toml with a [tool.aether]; of two in one folder the former."""
    for one in project_folders(folder):
        path, beside = os.path.join(one, FILE), os.path.join(one, PYPROJECT)
        data = read_trusted(path)
        other = _pyproject(beside)
        if data is not None:
            return ConfigurationFile(path, "project", data, ignored=beside if other is not None else None)
        if other is not None and (data := read_trusted(beside)) is not None:
            return ConfigurationFile(beside, "project", data, ("tool", "aether"))
    return None


def _pyproject(path: str) -> bytes | None:
    """What a pyproject.toml holds that has a [tool.aether]; one that only other programs read is not looked into."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError:  # not there; or not for us, and then it is for others to complain
        return None
    if b"aether" not in data:
        return None
    from aether_protocol.assembly.configuration.toml_text import NotTomlError, read_toml

    try:
        tool = read_toml(data).value.get("tool")
    except NotTomlError:
        return data if b"[tool.aether" in data else None
    return data if isinstance(tool, dict) and "aether" in tool else None


def _read(path: str, *, trusted: bool) -> bytes | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        if os.path.islink(path):
            raise UsageError(f"{path!r} is a link that leads nowhere", hint="repair it, or remove it") from None
        return None
    except (OSError, ValueError) as error:
        raise PortError(f"cannot read {path!r}: {getattr(error, 'strerror', None) or 'not a path'}") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            what = "a folder" if stat.S_ISDIR(status.st_mode) else "not a file"
            raise UsageError(f"{path!r} is {what}", hint=f"settings stand in a file {FILE!r}; move this away")
        if not trusted:
            check_owner(path, status, os.lstat(path), os.stat(os.path.dirname(path) or "."))
        from aether_protocol.assembly.configuration.toml_text import MAX_BYTES  # only where there is a file

        with open(descriptor, "rb", closefd=False) as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise PortError(f"cannot read {path!r}: {error.strerror}") from None
    finally:
        os.close(descriptor)


def _user(uid: int) -> str:
    import pwd

    try:
        return f"user {pwd.getpwuid(uid).pw_name!r}"
    except KeyError:
        return f"user {uid}"
