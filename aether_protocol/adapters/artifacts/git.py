"""Input artifacts from a git repository (ART-2): a file or folder of it, or all of it, at one revision.

Law: the `git` program is asked and never asks back. Nothing that stands in the repository is run: no hooks, no filters, no
submodules, no transport but the usual ones. What is said when it fails holds no credentials.
"""

from __future__ import annotations

import os
import re
import stat
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from aether_protocol.errors import PortError
from aether_protocol.execution.staging.limits import Budget, Limits
from aether_protocol.expressions.values import Json
from aether_protocol.plan.config_fields import ConfigField
from aether_protocol.ports.artifacts import AbsentError

TIMEOUT_S: Final = 600.0  # of one call of git
_REVISION: Final = r"[A-Za-z0-9_][A-Za-z0-9._/@-]{0,254}"
_SCHEMES: Final = ("https://", "http://", "ssh://", "git://", "file://")
_SCP: Final = r"[A-Za-z0-9_.-]+@[A-Za-z0-9.-]+:[^\0\n]+"  # git@host:path
_CREDENTIALS: Final = r"//[^/@\s]*@"
_QUERY: Final = r"(://[^\s?]*)\?[^\s'\"]*"
_CONFIG: Final = (
    *("core.hooksPath=/dev/null", "core.fsmonitor=false", "core.symlinks=true", "submodule.recurse=false"),
    *("protocol.ext.allow=never", "credential.interactive=false", "advice.detachedHead=false", "gc.auto=0"),
)
_ENVIRONMENT: Final = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "true",
    "SSH_ASKPASS": "true",
    "GIT_SSH_COMMAND": "ssh -oBatchMode=yes",
    "GIT_ALLOW_PROTOCOL": "file:git:http:https:ssh",
    "GIT_HTTP_LOW_SPEED_LIMIT": "1000",
    "GIT_HTTP_LOW_SPEED_TIME": "60",
    "LC_ALL": "C",
}
_ABSENT: Final = ("couldn't find remote ref", "not our ref", "repository not found", "does not exist")


class GitFetcher:
    """See the module. Needs the `git` program."""

    name = "git"
    config: tuple[ConfigField, ...] = (
        ConfigField("url", "string", "The repository: https, ssh, git or file address, or user@host:path.", required=True),
        ConfigField("revision", "string", "A branch, tag or whole commit id.", default="HEAD"),
        ConfigField("path", "string", "The file or folder in it; all of it if left out."),
    )

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()

    def fetch(self, config: Mapping[str, Json], target: Path, origin: str | None = None) -> str:
        """Bring it to `target`; gives the commit id. Raises PortError."""
        url, revision, path = config.get("url"), config.get("revision") or "HEAD", config.get("path") or "."
        if not isinstance(url, str) or not isinstance(revision, str) or not isinstance(path, str):
            raise PortError("source git needs a url, and revision and path as text")
        _check(url, revision)
        steps = [part for part in path.split("/") if part not in ("", ".")]
        if path.startswith("/") or ".." in steps or ".git" in steps or "\0" in path:
            raise PortError(f"source git: path {path!r} is not a path in a repository")
        import shutil  # here: few runs fetch anything from git
        import tempfile

        with tempfile.TemporaryDirectory(prefix="git-", dir=target.parent) as folder:
            _git(url, folder, ["init", "-q"])
            _git(url, folder, ["fetch", "-q", "--depth=1", "--no-tags", "--no-recurse-submodules", "--", url, revision])
            commit = _git(url, folder, ["rev-parse", "--verify", "FETCH_HEAD^{commit}"]).strip()
            _git(url, folder, ["checkout", "-q", "--detach", commit])
            shutil.rmtree(Path(folder, ".git"))
            self._take(Path(folder, *steps), target, path)
        return commit

    def _take(self, source: Path, target: Path, path: str) -> None:
        """Copy a part to `target`; a folder through an archive, so that its links are checked."""
        if source.is_dir() and not source.is_symlink():
            from aether_protocol.execution.staging.packing import pack
            from aether_protocol.execution.staging.unpacking import unpack

            packed = target.with_name(f"{target.name}.tar")
            pack(source, "tar", packed, self._limits)
            unpack(packed, "tar", target, self._limits)
            packed.unlink()
        elif source.is_file() and not source.is_symlink():
            with source.open("rb") as content, target.open("xb") as sink:
                Budget(self._limits).copy(content, sink.write)
            target.chmod(stat.S_IMODE(source.stat().st_mode))
        else:
            raise AbsentError(f"source git: no file or folder {path!r} at that revision")


def _check(url: str, revision: str) -> None:
    """Neither is an option, a command or another transport."""
    if not (url.lower().startswith(_SCHEMES) or re.fullmatch(_SCP, url)) or "\n" in url:
        raise PortError("source git: the url is not one of https, http, ssh, git, file, or user@host:path")
    if re.fullmatch(_REVISION, revision) is None or ".." in revision or "@{" in revision:
        raise PortError(f"source git: {revision!r} is not a branch, tag or commit id")


def _git(url: str, folder: str, arguments: Sequence[str]) -> str:
    """What git prints. Raises PortError with the reason that it gives."""
    options = [part for setting in _CONFIG for part in ("-c", setting)]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "AETHER_SECRET_"))}
    try:
        done = subprocess.run(
            ["git", *options, "-C", folder, *arguments],
            env={**inherited, **_ENVIRONMENT, "GIT_DIR": f"{folder}/.git", "GIT_WORK_TREE": folder},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError:
        raise PortError("source git needs the program git", hint="is it installed and on PATH?") from None
    except subprocess.TimeoutExpired:
        raise PortError(f"source git: {_called(url)}: timeout after {TIMEOUT_S:.0f} s") from None
    except (OSError, ValueError) as fault:
        raise PortError(f"source git: git cannot be started: {str(fault).lower()}") from None
    if done.returncode:
        told = _called(done.stderr.decode("utf-8", "replace").replace(url, _called(url)))
        lines = [line for line in told.splitlines() if line.strip()]
        reason = (lines[0] if lines else f"exit code {done.returncode}").removeprefix("fatal: ")
        kind = AbsentError if any(word in told.lower() for word in _ABSENT) else PortError
        raise kind(f"source git: {_called(url)}: {reason[:500]}")
    return done.stdout.decode("utf-8", "replace")


def _called(text: str) -> str:
    """An address, or a text with addresses in it, without credentials and queries."""
    return re.sub(_QUERY, r"\1", re.sub(_CREDENTIALS, "//", text))
