"""The library of a store: applied, listed, shown and removed, looked up by what is run; validation of a folder as a whole."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from pathlib import Path

import pytest

from tests.e2e.process import AETHER, aether, environment
from tests.e2e.store_cli import Cli, Said, make_cli

HEAD = "apiVersion: aether/v1\nkind: {kind}\nmetadata: {{name: {name}{more}}}\nspec:\n"


def library(name: str = "words", says: str = "one", *, more: str = "", templates: str = "") -> str:
    """A WorkflowTemplate with the task template `say`, whose output `said` is `says`."""
    return HEAD.format(kind="WorkflowTemplate", name=name, more=more) + (
        "  templates:\n    - task:\n        name: say\n"
        f"        executor: {{type: echo, config: {{outputs: [{{name: said, value: {says}}}]}}}}\n{templates}"
    )


OUTPUTS = "        outputs: {parameters: [{name: said, valueFrom: {parameter: tasks.call.outputs.parameters.said}}]}\n"


def caller(calls: str = "words", template: str = "say", *, before: str = "", outputs: str = OUTPUTS) -> str:
    """A workflow whose dag calls a template of a library; `before` is the type of a task that comes first."""
    waits = ", dependencies: [before]" if before else ""
    first = f"          - {{name: before, executor: {{type: {before}}}}}\n" if before else ""
    return HEAD.format(kind="Workflow", name="flow", more="") + (
        f"  entrypoint: main\n  timeout: 1d\n  templates:\n    - dag:\n        name: main\n        tasks:\n{first}"
        f"          - {{name: call, templateRef: {{name: {calls}, template: {template}}}{waits}}}\n"
        f"{outputs}"
    )


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    return make_cli(tmp_path, monkeypatch, capsys)


def write(folder: Path, **texts: str) -> None:
    """Files by name (`_` for `-`), each one or more documents."""
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / f"{name.replace('_', '-')}.yaml").write_text(text, "utf-8")


STORE = Path(".aether") / "aether.db"


# --- apply, ls, show, rm ---


def test_apply_says_what_became_of_each_document(cli: Cli, tmp_path: Path) -> None:
    both = f"# two\n---\n{library()}---\n{library('numbers', more=', namespace: ops')}"
    write(tmp_path, lib=both)
    assert cli("template", "apply", "lib.yaml").out == "created default/words (version 1)\ncreated ops/numbers (version 1)\n"
    write(tmp_path, lib=both.replace("value: one", "value: two", 1))
    assert cli("template", "apply", "lib.yaml").out == "updated default/words (version 2)\nunchanged ops/numbers (version 1)\n"
    (words, numbers) = cli("template", "apply", "lib.yaml", "--output", "json").json["templates"]
    assert (words["name"], words["namespace"], words["version"], words["action"]) == ("words", "default", 2, "unchanged")
    assert (numbers["name"], len(numbers["digest"]), numbers["appliedAt"][-1]) == ("numbers", 64, "Z")
    listed = cli("template", "ls")
    assert [line.split()[:3] for line in listed.out.splitlines()] == [
        ["NAME", "NAMESPACE", "VERSION"],
        ["words", "default", "2"],
        ["numbers", "ops", "1"],
    ]
    assert [one["name"] for one in cli("template", "ls", "-n", "ops", "--output", "json").json["templates"]] == ["numbers"]
    assert cli("template", "ls", "--output", "json").json["templates"][0]["templates"] == ["say"]


def test_show_gives_the_text_back_and_lists_the_versions(cli: Cli, tmp_path: Path) -> None:
    for says in ("one", "two"):
        write(tmp_path, lib=f"# says {says}\n" + library(says=says))
        assert cli("template", "apply", "lib.yaml").code == 0
    newest = cli("template", "show", "words")
    assert newest.out == (tmp_path / "lib.yaml").read_text("utf-8")
    assert [line.split()[0] for line in newest.err.splitlines()] == ["VERSION", "2", "1"]
    for arguments in (("words", "--version", "1"), ("words@1",), ("store:default/words@1",), ("words", "-n", "default")):
        shown = cli("template", "show", *arguments).out
        assert shown.startswith("# says two" if arguments[-1] == "default" else "# says one")
    record = cli("template", "show", "words", "--version", "1", "--output", "json").json
    assert (record["version"], record["text"]) == (1, "# says one\n" + library())
    assert [one["version"] for one in record["versions"]] == [2, 1]
    assert cli("template", "show", "words", "--digest", record["digest"][:8]).out.startswith("# says one")
    (tmp_path / "lib.yaml").write_text(newest.out, "utf-8")
    assert cli("template", "apply", "lib.yaml").out == "unchanged default/words (version 2)\n"


def test_rm_tells_what_it_removed_and_what_still_refers_to_it(cli: Cli, tmp_path: Path) -> None:
    upper = "    - dag: {name: up, tasks: [{name: x, templateRef: {name: words, template: say}}]}\n"
    write(tmp_path, lib=f"{library()}---\n{library('upper', templates=upper)}")
    cli("template", "apply", "lib.yaml")
    write(tmp_path, lib=library(says="two"))
    cli("template", "apply", "lib.yaml")
    refused = cli("template", "rm", "words")
    assert (refused.code, refused.out) == (2, "")
    assert "error: default/upper refers to default/words\n  hint: remove them first" in refused.err
    removed = cli("template", "rm", "words", "--force")
    assert removed.out == "removed default/words (2 versions)\n"
    assert "default/upper refers to default/words" in removed.err
    assert [one["name"] for one in cli("template", "rm", "upper", "--output", "json").json["removed"]] == ["upper"]
    assert cli("template", "ls").err == "there are no templates yet\n"
    assert cli("template", "apply", "lib.yaml").out == "created default/words (version 1)\n"


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (("show", "wrods"), "there is no WorkflowTemplate 'wrods' in namespace 'default'", "did you mean 'words'?"),
        (("rm", "words", "wrods"), "there is no WorkflowTemplate 'wrods'", "did you mean 'words'?"),
        (("show", "numbers"), "in namespace 'default'", "there is one in namespace 'ops': ops/numbers"),
        (("show", "far-away"), "there is no WorkflowTemplate 'far-away'", "'aether template ls' lists them"),
        (("show", "words", "--version", "7"), "'words' has no version 7", "it has 1 ("),
        (("show", "words", "--digest", "zz"), "'words' has no digest 'zz'", "it has 1 ("),
        (("show", "ops/words", "-n", "default"), "is not in namespace 'default'", "leave -n out"),
        (("rm", "words@1"), "versions are not removed one by one", "'default/words' means all"),
        (("show", "/words"), "is not a name of a document", "NAMESPACE/NAME"),
        (("ls", "--store", "sqlite:elsewhere.db"), "there is no store at 'sqlite:elsewhere.db'", "--store"),
        (("apply", "lib.yaml", "--store", "memory"), "nothing can be kept there", "leave --store out"),
        (("apply", "gone.yaml"), "there is no file 'gone.yaml'", "spelling"),
        (("apply", "flow.yaml"), "there is no WorkflowTemplate in 'flow.yaml'", "kind: WorkflowTemplate"),
    ],
)
def test_what_cannot_be_meant_is_told(cli: Cli, tmp_path: Path, arguments: tuple[str, ...], message: str, hint: str) -> None:
    write(tmp_path, lib=f"{library()}---\n{library('numbers', more=', namespace: ops')}", flow=caller())
    cli("template", "apply", "lib.yaml")
    said = cli("template", *arguments)
    assert (said.code, said.out) == (2, "")
    assert message in said.err
    assert hint in said.err
    assert len(cli("template", "ls", "--output", "json").json["templates"]) == 2, "nothing was removed"


def test_of_invalid_files_nothing_is_stored_and_everything_is_told(cli: Cli, tmp_path: Path) -> None:
    bad = library("bad").replace("type: echo", "typ: echo")
    lost = "    - dag: {name: up, tasks: [{name: x, templateRef: {name: wrods, template: say}}]}\n"
    write(tmp_path, good=library(), bad=f"{library('fine')}---\n{bad}", lost=library("lost", templates=lost))
    said = cli("template", "apply", "good.yaml", "bad.yaml", "lost.yaml")
    assert (said.code, said.out) == (3, "")
    assert "bad.yaml:17:" in said.err
    assert "lost.yaml:9:61: error AE203: there is no WorkflowTemplate 'wrods' in namespace 'default'" in said.err
    assert "did you mean 'words'?" in said.err
    assert said.err.endswith("error: nothing was applied\n")
    assert not STORE.exists()


def test_what_a_template_refers_to_is_there_in_its_file_the_library_or_the_store(cli: Cli, tmp_path: Path) -> None:
    upper = library("upper", templates="    - dag: {name: up, tasks: [{name: x, templateRef: {name: words, template: say}}]}\n")
    write(tmp_path, upper=upper, bundle=f"{upper}---\n{library()}", words=library())
    write(tmp_path / "lib", words=library())
    assert cli("template", "apply", "upper.yaml", "--store", "sqlite:a.db").code == 3
    assert cli("template", "apply", "bundle.yaml", "--store", "sqlite:a.db").code == 0
    assert cli("template", "apply", "upper.yaml", "--library", "lib", "--store", "sqlite:b.db").code == 0
    assert cli("template", "apply", "upper.yaml", "words.yaml", "--store", "sqlite:c.db").code == 0
    assert cli("template", "apply", "words.yaml", "--store", "sqlite:d.db").code == 0
    assert cli("template", "apply", "upper.yaml", "--store", "sqlite:d.db").code == 0


def test_of_a_folder_the_templates_are_taken(cli: Cli, tmp_path: Path) -> None:
    write(tmp_path / "all", flow=caller(), words=library(), other=library("other"))
    (tmp_path / "all" / "notes.yaml").write_text("just: notes\n", "utf-8")
    said = cli("template", "apply", "all")
    assert said.out == "created default/other (version 1)\ncreated default/words (version 1)\n"
    assert said.err == f"{Path('all', 'flow.yaml')}:2: Workflow 'flow' is left out: it is not a WorkflowTemplate\n"


def test_a_file_that_names_a_template_twice_is_refused(cli: Cli, tmp_path: Path) -> None:
    write(tmp_path, a=library(), b=f"\n{library(says='two')}")
    said = cli("template", "apply", "a.yaml", "b.yaml")
    assert said.code == 3
    assert "b.yaml:4:18: error AE135: WorkflowTemplate 'words' is already there, at a.yaml:3:18" in said.err
    assert not STORE.exists()


# --- looking up ---


def test_the_nearest_template_is_taken(cli: Cli, tmp_path: Path) -> None:
    write(tmp_path, flow=caller(), bundle=f"{caller()}---\n{library(says='file')}", stored=library(says="store"))
    write(tmp_path / "lib", words=library(says="library"))
    cli("template", "apply", "stored.yaml")

    def said(*arguments: str) -> str:
        return cli("run", *arguments, "--quiet", "--output", "json").json["outputs"]["said"]

    assert said("flow.yaml") == "store"
    assert said("flow.yaml", "--library", "lib") == "library"
    assert said("bundle.yaml", "--library", "lib") == "file"
    assert cli("run", "flow.yaml", "--store", "memory", "--quiet").code == 3


def test_every_command_looks_in_the_store(cli: Cli, tmp_path: Path) -> None:
    write(tmp_path, flow=caller(), lib=library())
    assert cli("validate", "flow.yaml").code == 3
    cli("template", "apply", "lib.yaml")
    assert cli("validate", "flow.yaml").code == 0
    assert "call" in cli("graph", "flow.yaml").out
    assert "call" in cli("run", "flow.yaml", "--dry-run").out
    assert cli("validate", "flow.yaml", "--store", "memory").code == 3
    STORE.rename("moved.db")
    assert cli("validate", "flow.yaml").code == 3
    assert cli("validate", "flow.yaml", "--store", "sqlite:moved.db").code == 0
    assert cli("graph", "flow.yaml", "--store", "sqlite:moved.db").code == 0
    assert cli("run", "flow.yaml", "--dry-run", "--store", "sqlite:moved.db").code == 0


def test_checking_makes_no_store_and_says_where_it_looked(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, flow=caller())
    for arguments in (("validate", "flow.yaml"), ("graph", "flow.yaml"), ("run", "flow.yaml", "--dry-run")):
        said = cli(*arguments)
        assert said.code == 3
        assert "looked for in flow.yaml, then in the store sqlite:.aether/aether.db (there is none yet)" in said.out + said.err
    monkeypatch.setenv("AETHER_STORE", "sqlite:other/runs.db")
    assert "sqlite:other/runs.db (there is none yet)" in cli("validate", "flow.yaml").out
    assert cli("run", "flow.yaml", "--quiet").code == 3
    assert [item.name for item in tmp_path.iterdir()] == ["flow.yaml"]
    said = cli("validate", "flow.yaml", "--store", "sqlite:typo.db")
    assert (said.code, said.err.splitlines()[0]) == (2, "error: there is no store at 'sqlite:typo.db'")


def test_a_store_is_left_alone_where_it_is_not_needed(cli: Cli, tmp_path: Path) -> None:
    write(tmp_path, bundle=f"{caller()}---\n{library()}")
    STORE.parent.mkdir()
    STORE.write_bytes(b"no database at all")
    assert cli("validate", "bundle.yaml").code == 0
    write(tmp_path, flow=caller())
    said = cli("validate", "flow.yaml")
    assert said.code == 9
    assert "is not a SQLite database" in said.err


def test_a_store_of_before_the_first_release_is_refused_by_every_command(cli: Cli, tmp_path: Path) -> None:
    write(tmp_path, flow=caller(), lib=library())
    assert cli("template", "apply", "lib.yaml").code == 0
    connection = sqlite3.connect(STORE)
    connection.execute("PRAGMA user_version = 5")
    connection.close()
    for command in (("validate", "flow.yaml"), ("graph", "flow.yaml"), ("run", "flow.yaml"), ("template", "apply", "lib.yaml")):
        said = cli(*command)
        assert said.code == 9
        assert "before the first release" in said.err
        assert "finish its runs with the version that wrote it" in said.err


def test_faults_in_a_stored_document_name_it_and_its_line(cli: Cli, tmp_path: Path) -> None:
    write(tmp_path, flow=caller(), upper=library("upper"), lower=library("lower"))
    call = "    - dag: {name: up, tasks: [{name: x, templateRef: {name: lower, template: say}}]}\n"
    cli("template", "apply", "upper.yaml", "lower.yaml")
    write(tmp_path, upper=library("upper", templates=call), flow=caller(calls="upper", template="up", outputs=""))
    cli("template", "apply", "upper.yaml")
    cli("template", "rm", "lower", "--force")
    for arguments in (("validate", "flow.yaml"), ("run", "flow.yaml", "--quiet")):
        said = cli(*arguments)
        assert said.code == 3
        told = said.out + said.err
        assert "store:default/upper@2:9:61: error AE203: there is no WorkflowTemplate 'lower' in namespace 'default'" in told
        assert "9 |     - dag: {name: up, tasks" in told, "the line is shown"
    (one,) = cli("validate", "flow.yaml", "-o", "json").json["diagnostics"]
    assert (one["file"], one["line"], one["column"]) == ("store:default/upper@2", 9, 61)


def test_a_submitted_run_keeps_its_snapshot(cli: Cli, tmp_path: Path) -> None:
    """TMPL-2: whatever happens to the library, in real processes on a real file."""
    store = f"sqlite:{tmp_path / 'runs.db'}"

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        return aether(*arguments, cwd=tmp_path, AETHER_STORE=store)

    write(tmp_path, flow=caller(before="await"), lib=library(says="before"))
    assert call("template", "apply", "lib.yaml").returncode == 0
    for name in ("a", "b"):
        assert call("run", "flow.yaml", "--quiet", "--run-id", name).returncode == 7
    write(tmp_path, lib=library(says="after"))
    assert call("template", "apply", "lib.yaml").stdout == "updated default/words (version 2)\n"
    resumed = call("resume", "a", "main.before", "-p", "approved=true", "--quiet", "--output", "json")
    assert json.loads(resumed.stdout)["outputs"] == {"said": "before"}
    assert call("template", "rm", "words").returncode == 0
    resumed = call("resume", "b", "main.before", "-p", "approved=true", "--quiet", "--output", "json")
    assert json.loads(resumed.stdout)["outputs"] == {"said": "before"}
    again = call("retry", "b", "--from", "main.call", "--quiet", "--output", "json")
    assert json.loads(again.stdout)["outputs"] == {"said": "before"}
    assert call("run", "flow.yaml", "--quiet").returncode == 3
    assert call("run", "flow.yaml", "--quiet", "--run-id", "b").returncode == 3, "a document is checked before it is compared"


def together(commands: list[list[str | Path]], store: str) -> list[str]:
    """What these commands print, run as processes at the same time; each succeeds."""
    processes = [
        subprocess.Popen(
            [*AETHER, *map(str, command)], env=environment(AETHER_STORE=store), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for command in commands
    ]
    printed = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0] * len(commands), printed
    return [out for out, _ in printed]


def test_processes_that_apply_at_once_do_not_mix(tmp_path: Path) -> None:
    """Each batch is one: the two documents of a file are of one make at any moment."""
    store = f"sqlite:{tmp_path / 'runs.db'}"
    marks = [f"mark-{number}" for number in range(6)]
    for mark in marks:
        write(tmp_path, **{mark: f"{library('left', mark)}---\n{library('right', mark)}"})
    printed = together([["template", "apply", tmp_path / f"{mark}.yaml"] for mark in marks], store)
    versions = [[int(line.rsplit(" ", 1)[1][:-1]) for line in out.splitlines()] for out in printed]
    assert sorted(versions) == [[number, number] for number in range(1, 7)]
    for number in range(1, 7):
        mark = marks[versions.index([number, number])]
        for name in ("left", "right"):
            assert aether("template", "show", f"{name}@{number}", AETHER_STORE=store).stdout == library(name, mark)


def test_of_processes_that_apply_the_same_one_creates_it(tmp_path: Path) -> None:
    store = f"sqlite:{tmp_path / 'runs.db'}"
    write(tmp_path, lib=library())
    printed = together([["template", "apply", tmp_path / "lib.yaml"]] * 4, store)
    assert sorted(printed) == ["created default/words (version 1)\n", *["unchanged default/words (version 1)\n"] * 3]


# --- a folder as a whole ---


def found(said: Said) -> list[str]:
    return [f"{one['code']} {Path(one['file']).name}:{one['line']}: {one['message']}" for one in said.json["diagnostics"]]


def test_files_of_a_folder_find_each_other(cli: Cli, tmp_path: Path) -> None:
    write(tmp_path / "all", flow=caller())
    write(tmp_path / "all" / "lib", words=library())
    assert cli("validate", "all").code == 0
    assert cli("validate", "all/flow.yaml", "all/lib").code == 0
    for paths in (("all/flow.yaml",), ("all/flow.yaml", "all/lib/words.yaml")):
        assert "it was looked for in all/flow.yaml, then in the store" in cli("validate", *paths).out
    write(tmp_path / "all", flow=caller(calls="far-away"))
    told = cli("validate", "all", "--library", "all/lib", "--store", "memory").out
    assert "it was looked for in all/flow.yaml, then in its folder, then in all/lib\n" in told


def test_what_nothing_in_a_folder_uses_is_a_warning(cli: Cli, tmp_path: Path) -> None:
    more = "    - task: {name: shout, executor: {type: noop}}\n"
    write(tmp_path / "all", flow=caller(), words=library(templates=more), other=library("other"))
    said = cli("validate", "all", "-o", "json")
    assert said.code == 0
    assert found(said) == [
        "AE914 other.yaml:3: nothing uses WorkflowTemplate 'other'",
        "AE914 words.yaml:9: nothing uses template 'shout' of WorkflowTemplate 'words'",
    ]
    assert found(cli("validate", "all/words.yaml", "all/other.yaml", "-o", "json")) == []
    write(tmp_path, bundle=f"{caller()}---\n{library(templates=more)}")
    assert found(cli("validate", "bundle.yaml", "-o", "json")) == [
        "AE914 bundle.yaml:22: nothing uses template 'shout' of WorkflowTemplate 'words'"
    ]


def test_nothing_is_said_of_libraries_alone_or_beside_a_fault(cli: Cli, tmp_path: Path) -> None:
    write(tmp_path / "lib", words=library(), other=library("other"))
    assert found(cli("validate", "lib", "-o", "json")) == []
    write(tmp_path / "flows", flow=caller())
    assert found(cli("validate", "flows", "--library", "lib", "-o", "json")) == []
    assert found(cli("validate", "flows", "lib", "-o", "json")) == []
    write(tmp_path / "lib", broken=caller(calls="wrods"))
    assert [line.split()[0] for line in found(cli("validate", "lib", "-o", "json"))] == ["AE203"]


def test_two_of_one_name_clash_and_the_nearer_one_hides_the_farther(cli: Cli, tmp_path: Path) -> None:
    write(tmp_path / "all", a=library(), b=f"\n{library(says='two')}", other=library(more=", namespace: ops"))
    said = cli("validate", "all", "-o", "json")
    assert said.code == 3
    first = Path("all", "a.yaml")
    assert found(said) == [f"AE135 b.yaml:4: WorkflowTemplate 'words' is already there, at {first}:3:18"]
    write(tmp_path / "lib", words=library(says="library"))
    write(tmp_path, bundle=f"{caller()}---\n{library(says='file')}")
    assert found(cli("validate", "bundle.yaml", "--library", "lib", "-o", "json")) == []
    assert found(cli("validate", "lib", "--library", "lib", "--library", "./lib/words.yaml", "-o", "json")) == []
