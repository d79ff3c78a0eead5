"""All checks of the project, as sessions. `nox` runs them all, `nox -s tests` one, `nox -s tests -- -k loop` a part.

Law: CI runs exactly this file, so what is green here is green there. The sessions of `DEV_ENV` share one environment;
`wheel` makes one of its own, into which nothing but the built wheel and its declared dependencies is installed.
"""

from __future__ import annotations

from pathlib import Path

import nox

nox.needs_version = ">=2025.5"
nox.options.sessions = ["lint", "types", "walls", "wheel", "cases", "tests"]
nox.options.reuse_venv = "yes"

PYPROJECT = nox.project.load_toml("pyproject.toml")
DEV = nox.project.dependency_groups(PYPROJECT, "dev")
DEV_ENV = ".nox/dev"
REFERENCE = Path("../shared/reference-documents/cases.yaml")  # documents of other runtimes, where they are at hand


def develop(session: nox.Session) -> None:
    """Install the project, editable, with all its tools."""
    session.install("--quiet", "-e", ".[http,test]", *DEV)


@nox.session(venv_location=DEV_ENV)
def lint(session: nox.Session) -> None:
    """Style and formatting."""
    develop(session)
    session.run("ruff", "check", ".")


@nox.session(venv_location=DEV_ENV)
def types(session: nox.Session) -> None:
    """Types, strictly."""
    develop(session)
    session.run("mypy", "--strict")


@nox.session(venv_location=DEV_ENV)
def walls(session: nox.Session) -> None:
    """Who may import whom (the contracts stand in pyproject.toml)."""
    develop(session)
    session.run("lint-imports")


@nox.session(venv_location=DEV_ENV)
def cases(session: nox.Session) -> None:
    """The conformance cases, every rule covered; and the reference documents where they are at hand."""
    develop(session)
    session.run("aether", "test", "tests/conformance", "--coverage-of-rules")
    if REFERENCE.exists():
        session.run("aether", "test", str(REFERENCE))
    else:
        session.log(f"{REFERENCE} is not here: the reference documents are left out")


@nox.session(venv_location=DEV_ENV)
def tests(session: nox.Session) -> None:
    """The test suite, on two processes unless told otherwise."""
    develop(session)
    session.run("pytest", *(session.posargs or ("-n", "2")))


@nox.session
def wheel(session: nox.Session) -> None:
    """Build the wheel, install it alone in a clean environment and use it as a new user would."""
    session.install("--quiet", "build")
    dist = Path(session.create_tmp()).resolve() / "dist"
    session.run("python", "-m", "build", "--quiet", "--wheel", "--outdir", str(dist), silent=True)
    built = max(dist.glob("*.whl"), key=lambda path: path.stat().st_mtime)
    session.run("python", "-m", "venv", "--clear", str(dist / "clean"))
    python = dist / "clean" / "bin" / "python"
    session.run(str(python), "-m", "pip", "install", "--quiet", str(built), external=True)
    check = Path("tests/wheel_check.py").resolve()
    examples = Path("examples/workflows").resolve()
    session.chdir(dist)  # away from the checkout, so that only the installed package can be found
    session.run(str(python), "-I", str(check), str(examples), external=True)
