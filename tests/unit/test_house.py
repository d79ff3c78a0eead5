"""The laws of the house that linters do not know: budgets, no import cycle of any kind, a light import.

Law: everything is read from the source files as they are; nothing of the package is imported into this process.
"""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator
from functools import cache
from itertools import takewhile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "aether_protocol"
MAX_MODULE_LINES = 600
MAX_FUNCTION_LINES = 50
MAX_POSITIONAL = 6  # what is given by keyword alone does not count
MAX_METHODS, MAX_CLASS_LINES, MAX_PROTOCOL_METHODS = 25, 400, 8
HEAVY = (
    *("pydantic", "jsonschema", "jsonschema_rs", "rich", "ruamel", "simpleeval", "httpx2", "asyncio", "croniter"),
    *("re2", "jmespath", "zoneinfo"),
)
MAPPED_FROM = 12
SHORT = 40  # lines; a module with less is a port, an adapter, an entry point, or shared
SHARED = 3  # modules, or two packages: what so many use belongs to none of them, and may be short
MAY_BE_SHORT = tuple(f"aether_protocol.{name}." for name in ("adapters", "ports", "cli.commands", "service.local"))
THEORY = 65  # characters: less than that does not say what a package is for
# What texts for people do not say, and what they say instead: in docstrings, comments and messages alike.
WORDS = {
    r"whoever|somebody|someone|nobody|those who": "the caller, the engine that holds the lease, no engine, waiters",
    r"(?:go|goes|going|gone|went) on with|goes on|went on|(?:carry|carries|carried|carrying) on": "continue, resume, recover",
    r"told|noticed": "reported, logged, recorded, detected",
    r"(?:hand|hands|handed|handing)(?: \w+)? over": "dispatch, deliver",
    r"(?:take|takes|taken|took|give|gives|given|gave) back|lets? go": "withdraw, release, return",
    r"under way": "running, dispatched, open",
    r"(?<!there )is no(?! longer| more\b| other\b| way\b)": "is not a",
    r"lets? rest|puts? down": "suspend, passivate",
    r"of ours": "internal error",
}
PUBLIC = ("aether_protocol", "aether_protocol.service", "aether_protocol.testing", "aether_protocol.ports.store")
MANY_PARAMETERS = 3  # from here on a docstring lists them under Args
OUTSIDE = tuple(  # what sees attempts, and neither the runs that they are of nor the leases of these
    f"aether_protocol.{name}"
    for name in ("ports.broker", "ports.executor", "ports.wire", "ports.worker", "adapters.brokers", "fleet", "worker")
)
INNER_NAMES = {"node", "nodes", "node_id", "fence", "fencing_token", "lease_token"}
INSTANTS = {"now", "at", "at_us", "until", "clock", "instant"}
SETTLING = {"busy", "quiet", "settled"}
UNMEASURED = ("scheduler", "engine", "execution", "adapters.stores", "adapters.brokers")
WHERE = {  # what people search for, and the module that does it
    "renew": "engine.leases",
    "retry": "service.runs.retry_ids",
    "DST": "service.schedules.dst_notes",
    "CronWorkflow": "compiler.checks.schedules",
    "acknowledge": "engine.dispatch.reports",
}
UNFINISHED = re.compile(r"raise NotImplementedError|\b(TODO|FIXME|HACK)\b")
MODULES = sorted(PACKAGE.rglob("*.py"))

Function = ast.FunctionDef | ast.AsyncFunctionDef


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {module_name(path) for path in MODULES}


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), str(path))


def functions(tree: ast.AST) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def imports(path: Path) -> Iterator[str]:
    """Every module that `path` imports anywhere: at the top, in a function, under TYPE_CHECKING."""
    package = module_name(path) if path.name == "__init__.py" else module_name(path).rpartition(".")[0]
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, base]).rstrip(".")
            for alias in node.names:
                submodule = f"{base}.{alias.name}"
                yield submodule if submodule in NAMES else base


def graph() -> dict[str, set[str]]:
    edges = {module_name(path): {name for name in imports(path) if name in NAMES} for path in MODULES}
    for name, targets in edges.items():
        targets.discard(name)
    return edges


def cycle_in(edges: dict[str, set[str]]) -> list[str]:
    """What is left when modules without open imports are taken away, again and again: those on or above a cycle."""
    left = {name: set(targets) for name, targets in edges.items()}
    while free := [name for name, targets in left.items() if not targets]:
        for name in free:
            del left[name]
        for targets in left.values():
            targets.difference_update(free)
    return sorted(left)


def test_modules_stay_short() -> None:
    lines = {module_name(path): path.read_text("utf-8").count("\n") for path in MODULES}
    assert {name: count for name, count in lines.items() if count > MAX_MODULE_LINES} == {}


def test_functions_stay_short() -> None:
    long = [
        f"{module_name(path)}.{function.name}: {size} lines"
        for path in MODULES
        for function in functions(parsed(path))
        if (size := (function.end_lineno or function.lineno) - function.lineno + 1) > MAX_FUNCTION_LINES
    ]
    assert long == []


def test_definitions_and_calls_have_few_positional_arguments() -> None:
    wide = []
    for path in MODULES:
        for node in ast.walk(parsed(path)):
            if isinstance(node, Function):
                names = [a.arg for a in (*node.args.posonlyargs, *node.args.args) if a.arg not in ("self", "cls")]
                if len(names) > MAX_POSITIONAL:
                    wide.append(f"{module_name(path)}.{node.name} takes {len(names)}")
            elif isinstance(node, ast.Call) and len(node.args) > MAX_POSITIONAL:
                wide.append(f"{module_name(path)}:{node.lineno} gives {len(node.args)}")
    assert wide == []


def test_classes_and_protocols_stay_small() -> None:
    large = set()
    for path in MODULES:
        for node in ast.walk(parsed(path)):
            if not isinstance(node, ast.ClassDef):
                continue
            methods = [one.name for one in node.body if isinstance(one, Function)]
            protocol = any("Protocol" in ast.unparse(base) for base in node.bases)
            few = sum(not name.startswith("_") for name in methods) <= MAX_PROTOCOL_METHODS or not protocol
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if len(methods) > MAX_METHODS or lines > MAX_CLASS_LINES or not few:
                large.add(f"{module_name(path)}.{node.name}")
    assert large == set()


def test_a_public_class_name_stands_for_one_thing() -> None:
    """Generated modules (`_structs*`) repeat the names of the models that they are made from."""
    counts = Counter(
        node.name
        for path in MODULES
        if not path.name.startswith("_structs")
        for node in parsed(path).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert {name for name, count in counts.items() if count > 1} == set()


def single_use(edges: dict[str, set[str]], short: set[str]) -> set[str]:
    """Those of the `short` modules that fewer than SHARED modules use, all of them in one package."""
    users = {name: {user for user, targets in edges.items() if name in targets} for name in short}
    return {
        name
        for name, several in users.items()
        if len(several) < SHARED and len({user.rpartition(".")[0] for user in several}) < 2
    }


def test_a_short_module_is_a_port_an_adapter_an_entry_point_or_shared() -> None:
    short = {
        module_name(path)
        for path in MODULES
        if not path.name.startswith("__") and path.read_text("utf-8").count("\n") < SHORT
        if not module_name(path).startswith(MAY_BE_SHORT)
    }
    assert single_use(graph(), short) == set(), "put it where it is used"


def test_the_check_of_short_modules_bites() -> None:
    edges = {"p.a": {"s.one", "s.three"}, "p.b": {"s.one", "s.three"}, "p.c": {"s.three"}, "q.d": {"s.two"}, "p.e": {"s.two"}}
    assert single_use(edges, {"s.one", "s.two", "s.three", "s.unused"}) == {"s.one", "s.unused"}


def test_folders_stay_small() -> None:
    counts = {folder: len(list(folder.glob("[!_]*.py"))) for folder in {path.parent for path in MODULES}}
    assert {str(folder): count for folder, count in counts.items() if count > 24} == {}


def test_there_is_no_import_cycle_of_any_kind() -> None:
    assert cycle_in(graph()) == []


def test_the_cycle_check_bites() -> None:
    assert cycle_in({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == ["a", "b", "c"]


def test_the_scheduler_imports_the_standard_library_values_and_this_package_only() -> None:
    allowed = set(sys.stdlib_module_names) | {"aether_protocol", "msgspec"}  # values are structs
    foreign = {
        (module_name(path), name)
        for path in MODULES
        if path.is_relative_to(PACKAGE / "scheduler")
        for name in imports(path)
        if name.partition(".")[0] not in allowed
    }
    assert foreign == set()


def test_every_module_states_its_law() -> None:
    written = [path for path in MODULES if path.read_text("utf-8").strip()]
    assert [module_name(path) for path in written if ast.get_docstring(parsed(path)) is None] == []


def test_every_package_says_what_it_is_for() -> None:
    doors = [path for path in MODULES if path.name == "__init__.py"]
    bare = {module_name(path) for path in doors if len(ast.get_docstring(parsed(path)) or "") < THEORY}
    assert bare == set()


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """Docstrings, messages and comments of a module, with their lines. A text without a space is not prose."""
    text = path.read_text("utf-8")
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield node.lineno, re.sub(r"\s+", " ", node.value)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def test_prose_is_plain_technical_english() -> None:
    """The words of `WORDS` are not used."""
    pattern = re.compile("|".join(rf"\b(?:{words})\b" for words in WORDS), re.IGNORECASE)
    found = [
        f"{module_name(path)}:{line}: {match[0]}"
        for path in MODULES
        if not path.name.startswith("_structs")
        for line, text in prose(path)
        for match in pattern.finditer(text)
    ]
    assert found == []


def test_the_docs_are_plain_technical_english() -> None:
    """Nor are they in the pages for people, outside of code."""
    pattern = re.compile("|".join(rf"\b(?:{words})\b" for words in WORDS), re.IGNORECASE)
    code = re.compile(r"^ *(```+).*?^ *\1$|`[^`\n]*`", re.MULTILINE | re.DOTALL)
    found = []
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        text = code.sub(lambda block: re.sub(r"\S", "x", block[0]), page.read_text("utf-8"))
        found += [
            f"{page.relative_to(ROOT)}:{text.count(chr(10), 0, match.start()) + 1}: {match[0]}"
            for match in pattern.finditer(re.sub(r"\s", " ", text))
        ]
    assert found == []


def source_of(module: str) -> Path:
    plain = ROOT / Path(*module.split(".")).with_suffix(".py")
    return plain if plain.exists() else ROOT / Path(*module.split(".")) / "__init__.py"


def exports(module: str) -> dict[str, str]:
    """The names that a package exports, and the module that each is taken from."""
    return {
        alias.name: node.module or ""
        for node in ast.walk(parsed(source_of(module)))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname == alias.name
    }


def definition(module: str, name: str) -> tuple[str, ast.ClassDef | Function] | None:
    """Where a name is defined, through re-exports; None of what is neither a class nor a function."""
    for node in parsed(source_of(module)).body:
        if isinstance(node, ast.ClassDef | Function) and node.name == name:
            return module, node
    for node in ast.walk(parsed(source_of(module))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("aether_protocol"):
            names = {alias.asname or alias.name for alias in node.names}
            if name in names:
                return definition(node.module or "", name)
    return None


def described(function: Function, context: str) -> bool:
    """Whether a docstring tells what goes in and what is raised. `context`: that of its class."""
    text = ast.get_docstring(function) or context * (function.name == "__init__")
    names = [a.arg for a in (*function.args.args, *function.args.kwonlyargs) if a.arg not in ("self", "cls")]
    raised = {
        node.exc.func.id
        for node in ast.walk(function)
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and isinstance(node.exc.func, ast.Name)
    }
    whole = len(names) < MANY_PARAMETERS or "Args:" in text or all(f"`{name}`" in text for name in names)
    return bool(text) and whole and all(name in text for name in raised if name.endswith("Error"))


def test_the_public_api_is_described() -> None:
    """Each function and method says what it does; three parameters or more are explained; what is raised is named.

    A class that implements a port says so (`See ...`), and its methods need not say again what the port says.
    """
    lacking = set()
    for package in PUBLIC:
        for name, module in exports(package).items():
            found = definition(module, name)
            if found is None:
                continue
            where, node = found
            text = ast.get_docstring(node) or ""
            members = [node] if isinstance(node, Function) else [one for one in node.body if isinstance(one, Function)]
            for one in members:
                public = not one.name.startswith("_") or one.name == "__init__"
                if public and not (text.startswith("See ") or "See `" in text) and not described(one, text):
                    lacking.add(f"{where}.{name}" if one is node else f"{where}.{name}.{one.name}")
    assert lacking == set()


def map_of(package: Path) -> set[str] | None:
    """What the map by role in a package's docstring names; None where there is none.

    The map is the indented block after `Modules by role:`, a line a role: the role, two spaces or more, names and commas.
    """
    _, found, block = (ast.get_docstring(parsed(package / "__init__.py")) or "").partition("Modules by role:\n\n")
    if not found:
        return None
    lines = takewhile(str.strip, block.splitlines())
    return {name for line in lines for name in re.split(r"\s*,\s*", re.split(r" {2,}", line.strip())[-1])}


def contents(package: Path) -> tuple[set[str], set[str]]:
    """The modules and the packages that lie directly in a package."""
    modules = {path.stem for path in MODULES if path.parent == package and path.name != "__init__.py"}
    return modules, {path.parent.name for path in MODULES if path.name == "__init__.py" and path.parent.parent == package}


def test_large_packages_have_a_complete_map() -> None:
    """From MAPPED_FROM modules on, the package's docstring sorts all of them by role; a map that is there is complete."""
    wrong: dict[str, list[str]] = {}
    for door in (path for path in MODULES if path.name == "__init__.py"):
        modules, packages = contents(door.parent)
        named = map_of(door.parent)
        if named is not None:
            wrong[module_name(door)] = sorted(named ^ (modules | packages))
        elif len(modules) >= MAPPED_FROM:
            wrong[module_name(door)] = ["has no map"]
    assert {name: what for name, what in wrong.items() if what} == {}


def test_the_map_of_the_tests_names_every_folder() -> None:
    """A folder of tests/unit without a line of its own has the name of a package."""
    readme = (ROOT / "tests" / "README.md").read_text("utf-8")
    named = set(re.findall(r"`([\w/]+?)/?`", readme))
    folders = {path.parent.relative_to(ROOT / "tests") for path in (ROOT / "tests").rglob("test_*.py")}
    packages = {path.parent.name for path in MODULES if path.parent.parent == PACKAGE}
    lost = {
        str(folder)
        for folder in folders
        if str(folder) not in named and not (folder.parts[0] == "unit" and folder.name in {"unit", *packages})
    }
    assert lost == set()
    assert {name for name in named if name.startswith("unit/") and not (ROOT / "tests" / name).exists()} == set()


def names_in(tree: ast.AST) -> set[str]:
    """The attributes, parameters and fields that a module names."""
    return {
        name
        for node in ast.walk(tree)
        for name in (
            [node.attr] if isinstance(node, ast.Attribute) else
            [node.arg] if isinstance(node, ast.arg) else
            [node.target.id] if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) else []
        )
    }


def methods_of(module: str, name: str | None = None) -> Iterator[Function]:
    """The methods of the classes of a module, or of one of them."""
    for node in parsed(source_of(module)).body:
        if isinstance(node, ast.ClassDef) and name in (None, node.name):
            yield from (one for one in node.body if isinstance(one, Function))


def test_node_numbers_and_fencing_tokens_never_leave_the_engine() -> None:
    """Brokers, workers and executors know an attempt by its AttemptRef alone."""
    seen = {
        module_name(path): inner
        for path in MODULES
        if f"{module_name(path)}.".startswith(tuple(f"{name}." for name in OUTSIDE))
        if (inner := names_in(parsed(path)) & INNER_NAMES)
    }
    assert seen == {}
    assert {"node", "at"} <= names_in(ast.parse("def f(at): x.node")), "the check bites"


def test_leases_are_measured_by_the_store_alone() -> None:
    taken = {one.name: {a.arg for a in one.args.args} for one in methods_of("aether_protocol.ports.store.leases", "LeaseStore")}
    assert {"claim", "renew", "lock"} <= set(taken)
    assert {name: names & INSTANTS for name, names in taken.items() if names & INSTANTS} == {}


def test_no_port_has_what_only_tests_need() -> None:
    ports = [module_name(path) for path in MODULES if path.is_relative_to(PACKAGE / "ports")]
    assert [f"{port}.{one.name}" for port in ports for one in methods_of(port) if one.name in SETTLING] == []
    assert SETTLING & {one.name for one in methods_of("aether_protocol.testing.settling")} == {"busy", "quiet"}


def test_what_is_measured_and_traced_does_not_know_it() -> None:
    """Telemetry wraps ports: neither the loop nor what runs attempts imports it."""
    telling = {
        (name, target)
        for name, targets in graph().items()
        for target in targets
        if name.startswith(tuple(f"aether_protocol.{package}" for package in UNMEASURED)) and ".telemetry" in target
    }
    assert telling == set()


def test_what_people_search_for_is_found_where_it_is_done() -> None:
    texts = {module: ast.get_docstring(parsed(source_of(f"aether_protocol.{module}"))) or "" for module in WHERE.values()}
    assert [word for word, module in WHERE.items() if word.lower() not in texts[module].partition("\n\n")[0].lower()] == []


def test_nothing_is_left_unfinished() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in MODULES
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if UNFINISHED.search(line)
    ]
    assert found == []


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_the_package_pulls_in_nothing_heavy() -> None:
    code = f"import sys, aether_protocol; print([m for m in {HEAVY!r} if m in sys.modules])"
    assert run_python(code).strip() == "[]"


def test_the_public_api_is_small_and_there() -> None:
    code = "import aether_protocol as a; names = a.__all__; [getattr(a, n) for n in names]; print(len(names))"
    assert 1 <= int(run_python(code)) <= 25


@pytest.mark.parametrize("command", ["['executors']", "['validate', '--help']", "['run', '--help']"])
def test_everything_works_without_the_extras(command: str) -> None:
    """httpx2 and pytest come with extras only: the command line must start without them."""
    code = f"""
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("httpx2", "pytest"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Missing())
from aether_protocol.cli import main
sys.exit(main({command}))
"""
    assert run_python(code).strip()


def test_ci_runs_the_readmes_test_command() -> None:
    command = "pip install nox && nox"
    assert command in (ROOT / "README.md").read_text("utf-8").splitlines()
    assert (ROOT / ".ci" / "run").read_text("utf-8").splitlines()[-1] == command
