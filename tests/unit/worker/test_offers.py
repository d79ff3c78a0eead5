"""What a worker offers of modules, and what is said of modules that cannot be used."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from aether_protocol.assembly.modules import executors_of_modules
from aether_protocol.errors import UsageError
from aether_protocol.worker import Worker
from aether_protocol.worker.offers import offers_of

EXECUTOR = """
from aether_protocol import ExecutorType

class Own:
    type = ExecutorType({name!r}, "Does.", version="7", {more})
    mode = "inline"
    def execute(self, task, context):
        return task.succeed()

executors = [Own()]
"""
MODULE = "machine_tasks"


def own(name: str = "own", more: str = "") -> str:
    return EXECUTOR.format(name=name, more=more)


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose modules can be imported, here and in a process that is started here."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", ":".join(filter(None, sys.path)))
    for name in ("one", "two", MODULE):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


def test_what_modules_have_is_offered_besides_what_is_installed(modules: Path) -> None:
    (modules / "one.py").write_text(own())
    (modules / "two.py").write_text("functions = {'f': print}")
    worker = Worker("http://127.0.0.1:1", modules=["one", "two"])
    offers = {one.name: one for one in worker.hello.executors}
    assert offers.keys() == {one.name for one in Worker("http://127.0.0.1:1").hello.executors} | {"own"}
    assert offers["own"].version == "7"
    assert "own" in offers_of(modules=["one"]).inline
    assert [one.name for one in offers_of(["own"], ["one"]).executors] == ["own"]
    assert "own" not in {one.name for one in offers_of(None, ["one"], without=["own"]).executors}
    assert "one" not in sys.modules, "the supervisor imports nothing"


def test_a_module_without_executors_is_imported_all_the_same(modules: Path) -> None:
    (modules / "one.py").write_text("open(__file__ + '.seen', 'w').close()")
    assert offers_of(modules=["one"]) == offers_of()
    assert (modules / "one.py.seen").exists()


def test_functions_of_several_modules_are_one_executor(modules: Path) -> None:
    (modules / "one.py").write_text("functions = {'f': print}")
    (modules / "two.py").write_text("from one import functions as theirs\nfunctions = {**theirs, 'g': len}")
    found = executors_of_modules(["one", "two"])
    assert list(found) == ["function"]
    (modules / MODULE).with_suffix(".py").write_text("functions = {'f': repr}")
    with pytest.raises(UsageError, match="has function 'f', which another module has, too"):
        executors_of_modules(["one", MODULE])


def test_submodules_of_these_names_are_not_taken_for_executors(modules: Path) -> None:
    (modules / "one").mkdir()
    (modules / "one" / "__init__.py").write_text("from one import executors, functions")
    (modules / "one" / "executors.py").touch()
    (modules / "one" / "functions.py").touch()
    assert executors_of_modules(["one"]) == {}


BROKEN = [
    ("", "there is no module 'machine_tasks'", "PYTHONPATH"),
    ("import no_such_thing", "cannot be imported: No module named 'no_such_thing'", ""),
    ("1 / 0", "cannot be imported: ZeroDivisionError: division by zero", ""),
    ("executors = [3]", "module 'machine_tasks': 3 is not an executor", "type, a mode and execute"),
    ("functions = ['f']", "`functions` of module 'machine_tasks' is not a mapping", "functions = {"),
    (own(more="site='engine'"), "is carried out by engines alone", "Engine(executors=...)"),
    (own() + own() + "executors = {'a': Own()}; functions = {'x': 3}", "is not a mapping of names to functions", ""),
]


@pytest.mark.parametrize(("text", "message", "hint"), BROKEN)
def test_a_module_that_cannot_be_used_says_why(modules: Path, text: str, message: str, hint: str) -> None:
    if text:
        (modules / f"{MODULE}.py").write_text(text)
    with pytest.raises(UsageError) as refused:
        executors_of_modules([MODULE])
    assert message in refused.value.message
    assert hint in (refused.value.hint or "")


def test_a_module_that_ends_its_process_ends_no_supervisor(modules: Path) -> None:
    (modules / f"{MODULE}.py").write_text("import os, sys; print('too bad', file=sys.stderr, flush=True); os._exit(4)")
    with pytest.raises(UsageError, match=r"ended by itself \(exit code 4\)") as refused:
        Worker("http://127.0.0.1:1", modules=[MODULE])
    assert refused.value.hint == "too bad"


def test_what_is_wrong_there_is_said_here(modules: Path) -> None:
    (modules / f"{MODULE}.py").write_text("print('noise'); executors = 5")
    with pytest.raises(UsageError, match="is not an executor") as refused:
        offers_of(modules=[MODULE])
    assert "an executor has a type" in str(refused.value.hint)
