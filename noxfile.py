"""All checks of the project, as sessions. `nox` runs them all, `nox -s tests` one, `nox -s tests -- -k loop` a part.

Law: CI runs exactly this file, so what is green here is green there. All sessions share one environment, made on first use,
with the project as it stands in the working copy; `wheel` makes another one, with nothing but the built wheel in it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import nox

nox.needs_version = ">=2025.5"
nox.options.sessions = ["lint", "types", "walls", "wheel", "cases", "api", "tests"]
nox.options.default_venv_backend = "none"

DEV = nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), "dev")
HOME = Path(".nox")
REFERENCE = Path("../shared/reference-documents/cases.yaml")  # documents of other runtimes, where they are at hand


@cache
def environment(name: str) -> Path:
    """The folder of an environment's commands; made where it is not there yet."""
    home = (HOME / name).resolve()
    if not (home / "bin" / "python").exists():
        nox.command.run([sys.executable, "-m", "venv", str(home)])
    return home / "bin"


@cache
def tools() -> Path:
    """The commands of the shared environment, with the project installed as it stands."""
    bin_ = environment("dev")
    ours = ".[http,postgres,nats,server,grpc,oidc,otel,celery,dask,test]"
    nox.command.run([str(bin_ / "pip"), "install", "--quiet", "-e", ours, *DEV], silent=False)
    return bin_


def use(session: nox.Session, command: str, *arguments: str) -> None:
    """Run a command of the shared environment."""
    path = os.pathsep.join((str(tools()), os.environ["PATH"]))
    session.run(str(tools() / command), *arguments, external=True, env={"PATH": path})


def side_by_side(session: nox.Session, commands: Iterable[tuple[str, ...]]) -> None:
    """Run commands of the shared environment, as many at once as there are processors."""
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for running in [pool.submit(use, session, *command) for command in commands]:
            running.result()


def folders_of_cases() -> list[Path]:
    """The folders of conformance cases, the one with the most text first: it takes longest."""
    sizes = {
        folder: sum(file.stat().st_size for file in folder.rglob("*.yaml")) for folder in Path("tests/conformance").iterdir()
    }
    return sorted((folder for folder, size in sizes.items() if size), key=lambda folder: -sizes[folder])


@nox.session
def lint(session: nox.Session) -> None:
    """Style."""
    use(session, "ruff", "check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Types, strictly."""
    use(session, "mypy", "--strict")


@nox.session
def walls(session: nox.Session) -> None:
    """Who may import whom (the contracts stand in pyproject.toml)."""
    use(session, "lint-imports")


@nox.session
def cases(session: nox.Session) -> None:
    """The conformance cases, every rule covered, then on every tier with the engine lost everywhere; and the reference
    documents where they are at hand."""
    use(session, "aether", "test", "tests/conformance", "--coverage-of-rules")
    side_by_side(session, [("aether", "test", str(folder), "--crash-everywhere") for folder in folders_of_cases()])
    if REFERENCE.exists():
        use(session, "aether", "test", str(REFERENCE))
    else:
        session.log(f"{REFERENCE} is not here: the reference documents are left out")


@nox.session(default=False)
def proto(session: nox.Session) -> None:
    """Generate the code of schemas/aether.proto, by a compiler whose code also older versions of protobuf read."""
    bin_ = environment("proto")
    nox.command.run([str(bin_ / "pip"), "install", "--quiet", "grpcio-tools==1.78.0"], silent=False)
    out = "aether_protocol/ports/grpc"
    nox.command.run([str(bin_ / "python"), "-m", "grpc_tools.protoc", "-Ischemas", f"--python_out={out}", "aether.proto"])


@nox.session(default=False)
def dashboard(session: nox.Session) -> None:
    """Build the pages of the dashboard of their sources in web/ (needs Node 20 with npm); what is built is committed."""
    session.chdir("web")
    # not `npm ci`: it refuses a lock that lacks an optional dependency of Windows, which not every registry has
    session.run("npm", "install", "--no-audit", "--no-fund", external=True)
    session.run("npm", "run", "build", external=True)


@nox.session
def tests(session: nox.Session) -> None:
    """The test suite, on two processes unless told otherwise. No test may hang. First it says which real servers are there."""
    use(session, "python", "-m", "tests.real_servers")
    use(session, "pytest", "--timeout", "300", *(session.posargs or ("-n", "2")))


@nox.session
def api(session: nox.Session) -> None:
    """Hold a server's answers against its OpenAPI document (schemathesis, in an environment of its own; `-- 7` for another
    seed)."""
    st = environment("api") / "st"
    if not st.exists():
        session.run(str(st.with_name("pip")), "install", "--quiet", "schemathesis", external=True)
    use(session, "python", "-m", "tests.e2e.api_check", str(st), *session.posargs)


@nox.session(default=False)
def mutation(session: nox.Session) -> None:
    """Break the rules one by one and see that a conformance case notices (minutes; `-- LOOP-5` for one rule); with
    `-- --simulation` the laws of durable runs, and see that a seed of the simulation does."""
    use(session, "python", "-m", "tests.mutation", *session.posargs)


@nox.session(default=False)
def chaos(session: nox.Session) -> None:
    """Kill workers (200 times) and the server (50 times), cut connections, and hold side effects against the record (about 10
    minutes; `-- --seed 2` for others); the same on PostgreSQL, which is restarted every few seconds: `-- --postgres --workers
    100 --servers 100`."""
    use(session, "python", "-m", "tests.e2e.chaos", *session.posargs)


@nox.session(default=False)
def chaos_of_brokers(session: nox.Session) -> None:
    """Kill workers, the engine, and what lies between them, which forgets everything (120 kills, 5 minutes; `-- celery` and
    `-- dask` for those), and hold side effects against the record."""
    use(session, "python", "-m", "tests.e2e.broker_chaos", *(session.posargs or ["nats"]))


@nox.session(default=False)
def postgres(session: nox.Session) -> None:
    """All conformance cases on PostgreSQL, on every tier and with the engine lost everywhere, and 500 seeds of the simulation,
    on two processes with a server each."""
    session.env.update(AETHER_TEST_ALL_CASES="1", AETHER_TEST_SEEDS="500")
    files = ("-n", "2", "tests/conformance/test_postgres.py", "tests/property/test_simulation_postgres.py")
    use(session, "pytest", "--timeout", "3600", *(session.posargs or files))


@nox.session(default=False)
def fleet(session: nox.Session) -> None:
    """The long trial of the simulation of a fleet: 20 000 seeds, or those named (`-- 0..1000`)."""
    seeds = session.posargs[0] if session.posargs else "100000..120000"
    use(session, "python", "-m", "aether_protocol.testing.simulation", "--fleet", "--seeds", seeds, "--progress", "500")


@nox.session(default=False)
def servers(session: nox.Session) -> None:
    """The long trial of the simulation of several servers on one store: 30 000 seeds, or those named (`-- 0..1000`)."""
    seeds = session.posargs[0] if session.posargs else "300000..330000"
    use(session, "python", "-m", "aether_protocol.testing.simulation", "--servers", "--seeds", seeds, "--progress", "500")


@nox.session
def wheel(session: nox.Session) -> None:
    """Build the wheel, install it alone in a clean environment and use it as a new user would."""
    dist = (HOME / "dist").resolve()
    session.run("rm", "-rf", str(dist), external=True)
    use(session, "python", "-m", "build", "--wheel", "--outdir", str(dist))
    session.run(sys.executable, "-m", "venv", str(dist / "clean"), external=True)
    (built,) = dist.glob("*.whl")
    session.run(str(dist / "clean" / "bin" / "pip"), "install", "--quiet", str(built), external=True)
    check, examples = Path("tests/wheel_check.py").resolve(), Path("examples/workflows").resolve()
    session.chdir(dist)  # away from the working copy, so that only the installed package can be found
    session.run(str(dist / "clean" / "bin" / "python"), "-I", str(check), str(examples), external=True)
