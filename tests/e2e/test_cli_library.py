"""`aether apply` and `aether library`: documents of every kind are kept by their names, all or none, and compared."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.e2e.store_cli import Cli, make_cli
from tests.e2e.test_cli_templates import STORE, caller, library, write

NIGHTLY = """apiVersion: aether/v1
kind: CronWorkflow
metadata: {name: nightly, namespace: ops}
spec:
  schedule: "0 0 * * *"
  workflowSpec:
    entrypoint: main
    templates:
      - dag: {name: main, tasks: [{name: a, templateRef: {name: words, template: say, namespace: default}}]}
"""


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    return make_cli(tmp_path, monkeypatch, capsys)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a document of each kind, which refer to each other, and what is none."""
    write(tmp_path / "flows", flow=caller(), words=library(), nightly=NIGHTLY)
    (tmp_path / "flows" / "notes.yaml").write_text("just: notes\n", "utf-8")
    return tmp_path / "flows"


@pytest.mark.rule("RT-127")
def test_documents_of_every_kind_are_applied_and_found_by_their_names(cli: Cli, folder: Path) -> None:
    said = cli("apply", "flows")
    assert (said.code, said.err) == (0, "3 created\n")
    created = [line.split(":")[0] for line in said.out.splitlines()]
    assert created == [
        "created Workflow default/flow (version 1)",
        "created CronWorkflow ops/nightly",
        "created WorkflowTemplate default/words (version 1)",
    ]
    assert cli("apply", "flows", "flows/flow.yaml", "./flows").err == "3 unchanged\n"
    assert [one["name"] for one in cli("cron", "ls", "-o", "json").json["schedules"]] == ["nightly"]
    assert [one["name"] for one in cli("template", "ls", "-o", "json").json["templates"]] == ["words"]
    listed = cli("library", "ls")
    assert [line.split()[:4] for line in listed.out.splitlines()] == [
        ["KIND", "NAMESPACE", "NAME", "VERSION"],
        ["Workflow", "default", "flow", "1"],
        ["WorkflowTemplate", "default", "words", "1"],
    ]
    assert [one["name"] for one in cli("library", "ls", "--kind", "workflow", "-o", "json").json["documents"]] == ["flow"]
    assert cli("library", "ls", "-n", "nowhere").err == "there are no documents in namespace 'nowhere'\n"
    shown = cli("library", "show", "flow")
    assert shown.out == (folder / "flow.yaml").read_text("utf-8")


@pytest.mark.rule("RT-127")
def test_a_dry_run_shows_the_differences_and_makes_nothing(cli: Cli, folder: Path) -> None:
    said = cli("apply", "flows", "--dry-run")
    assert (said.code, said.out.splitlines()[0]) == (0, "created Workflow default/flow (version 1) (dry run)")
    assert not STORE.exists()
    assert cli("apply", "flows").code == 0
    before = STORE.read_bytes()
    (folder / "words.yaml").write_text(library(says="two"), "utf-8")
    (folder / "nightly.yaml").write_text(NIGHTLY.replace("0 0 *", "0 1 *"), "utf-8")
    said = cli("apply", "flows", "--dry-run")
    assert said.err == "2 updated, 1 unchanged\n"
    lines = said.out.splitlines()
    at = lines.index("updated WorkflowTemplate default/words (version 2) (dry run)")
    assert lines[at + 1 : at + 3] == ["--- default/words", f"+++ {Path('flows', 'words.yaml')}"]
    changed = [line for line in lines[at + 3 :] if line[0] in "+-"]
    assert [line[0] + line.split("value: ")[1] for line in changed] == ["-one}]}}", "+two}]}}"]
    assert '+    "schedule": "0 1 * * *",' in lines
    record = cli("apply", "flows", "--dry-run", "-o", "json").json
    assert record["dryRun"] is True
    assert [(one["name"], one["action"], bool(one["difference"])) for one in record["documents"]] == [
        ("flow", "unchanged", False), ("nightly", "updated", True), ("words", "updated", True),
    ]
    assert STORE.read_bytes() == before
    done = cli("apply", "flows", "-o", "json").json
    assert (done["dryRun"], [one["version"] for one in done["documents"]]) == (False, [1, 1, 2])
    assert "difference" not in done["documents"][0]


@pytest.mark.rule("RT-127")
def test_where_anything_is_faulty_everything_is_reported_and_nothing_applied(cli: Cli, folder: Path) -> None:
    assert cli("apply", "flows").code == 0
    write(folder, words=library(says="two"), flow=caller(template="shout"), other=NIGHTLY.replace("0 0 *", "0 99 *"))
    said = cli("apply", "flows")
    assert (said.code, said.out) == (3, "")
    assert f"{Path('flows', 'flow.yaml')}:11:" in said.err
    assert f"{Path('flows', 'other.yaml')}:5:" in said.err
    assert "AE135" in said.err  # ops/nightly is in two files
    assert said.err.endswith("error: nothing was applied\n")
    assert [one["version"] for one in cli("library", "ls", "-o", "json").json["documents"]] == [1, 1]
    assert cli("apply", "flows", "--dry-run").code == 3


def test_what_is_stored_may_not_be_broken(cli: Cli, folder: Path) -> None:
    assert cli("apply", "flows").code == 0
    said = cli("template", "apply", write_one(folder / "words.yaml", library().replace("name: say", "name: speak")))
    assert said.code == 3
    assert "store:default/flow@1:11:" in said.err
    assert "templateRef" in said.err, "the line of the stored document is shown"


def write_one(path: Path, text: str) -> str:
    path.write_text(text, "utf-8")
    return str(path)


def test_standard_input_and_several_documents_a_file(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = f"{library()}---\n{caller()}---\n{NIGHTLY}"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    said = cli("apply", "-", "-o", "json")
    assert [(one["kind"], one["file"]) for one in said.json["documents"]] == [
        ("WorkflowTemplate", "<stdin>"), ("Workflow", "<stdin>"), ("CronWorkflow", "<stdin>"),
    ]
    assert cli("library", "show", "words").out == library()


def test_versions_are_compared_with_each_other_and_with_files(cli: Cli, folder: Path) -> None:
    for says in ("one", "two", "three"):
        write(folder, words=library(says=says))
        assert cli("apply", "flows").code == 0

    def changed(*arguments: str) -> list[str]:
        said = cli("library", "diff", *arguments)
        assert said.code == 0, said.err
        lines = said.out.splitlines()
        return [*lines[:2], *(line[0] + line.split("value: ")[1].removesuffix("}]}}") for line in lines[3:] if line[0] in "+-")]

    assert changed("words") == ["--- default/words@2", "+++ default/words@3", "-two", "+three"]
    assert changed("words@1", "words@3") == ["--- default/words@1", "+++ default/words@3", "-one", "+three"]
    write(folder, words=library(says="four"))
    file = os.path.join("flows", "words.yaml")
    assert changed("words", file) == ["--- default/words@3", f"+++ {file}", "-three", "+four"]
    assert cli("library", "diff", "words@2", "words@2").err == "default/words@2 and default/words@2 are the same\n"
    record = cli("library", "diff", "words", "-o", "json").json
    assert (record["before"], record["after"], len(record["difference"])) == ("default/words@2", "default/words@3", 8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("library", "show", "flwo"), "there is no document 'flwo' in namespace 'default'\n  hint: did you mean 'flow'?"),
        (("library", "show", "flow@7"), "'flow' has no version 7"),
        (("library", "diff", "flow"), "'flow' has no version 0"),
        (("library", "diff", "flow", "flows/words.yaml"), "holds no Workflow default/flow"),
        (("library", "diff", "flow", "gone.yaml"), "there is no file 'gone.yaml'"),
        (("library", "rm", "words"), "default/flow refers to default/words; schedule ops/nightly refers to default/words"),
        (("library", "rm", "flow@1"), "versions are not removed one by one"),
        (("library", "rm", "flow", "flwo"), "there is no document 'flwo'"),
        (("library", "ls", "--kind", "CronWorkflow"), "'CronWorkflow' is not one of its values"),
        (("apply", "gone.yaml"), "there is no file 'gone.yaml'"),
        (("apply", "flows", "--store", "memory"), "nothing can be kept there"),
        (("apply", "empty"), "there is no document in what was given"),
        (("apply", "aether.toml"), "holds settings, not workflows"),
    ],
)
def test_what_cannot_be_meant_is_refused(cli: Cli, folder: Path, arguments: tuple[str, ...], message: str) -> None:
    assert cli("apply", "flows").code == 0
    (folder.parent / "empty").mkdir()
    (folder.parent / "aether.toml").write_text("[store]\n", "utf-8")
    said = cli(*arguments)
    assert (said.code, said.out) == (2, "")
    assert message in said.err
    assert len(cli("library", "ls", "-o", "json").json["documents"]) == 2


def test_removal_is_forced_or_takes_all_that_refers(cli: Cli, folder: Path) -> None:
    assert cli("apply", "flows").code == 0
    assert cli("library", "rm", "flow", "-o", "json").json["removed"][0]["name"] == "flow"
    said = cli("library", "rm", "words", "--force")
    assert said.out == "removed default/words (1 version)\n"
    assert said.err.startswith("warning: schedule ops/nightly refers to default/words")
    assert cli("library", "ls").err == "there are no documents yet\n"


def test_a_file_is_one_whatever_it_is_called(cli: Cli, folder: Path) -> None:
    (folder.parent / "same").symlink_to(folder)
    said = cli("apply", "flows", "same", "flows/../flows/words.yaml", "--library", "same")
    assert (said.code, said.err) == (0, "3 created\n")


def test_text_that_is_not_text_is_reported(cli: Cli, folder: Path) -> None:
    (folder / "bad.yaml").write_bytes(b"apiVersion: aether/v1\nkind: \xff\n")
    said = cli("apply", "flows")
    assert said.code == 3
    assert "bad.yaml:2:7" in said.err
    assert said.out == ""


@pytest.mark.rule("RT-127")
def test_a_stored_workflow_is_run_by_its_name(cli: Cli, folder: Path) -> None:
    assert cli("apply", "flows").code == 0
    write(folder, words=library(says="two"))
    (folder / "flow.yaml").write_text(f"# again\n{caller()}", "utf-8")
    assert cli("apply", "flows").code == 0
    newest = cli("run", "--name", "flow", "-o", "json").json
    assert newest["tasks"][-1]["outputs"] == {"said": "two"}, "with the templates as they are now"
    assert cli("run", "--name", "default/flow@1", "-q").code == 0
    rows = cli("ls", "-o", "json").json["runs"]
    assert [(row["workflow"]["name"], row["documentVersion"]) for row in rows] == [("flow", 1), ("flow", 2)]
    assert cli("run", "flows/flow.yaml", "--name", "flow", "-q").code == 0
    assert cli("ls", "-o", "json").json["runs"][0]["documentVersion"] is None
    before = STORE.read_bytes()
    assert cli("run", "--name", "flow", "--dry-run").code == 0
    assert STORE.read_bytes() == before
    assert "no Workflow 'words'" in cli("run", "--name", "words").err
    assert "'flow' has no version 9" in cli("run", "--name", "flow@9").err
    assert "give FILE, or --name NAME" in cli("run").err
    for name in ("flow", "default/flow"):
        assert cli("run", "--name", name, "-n", "default", "--dry-run").code == 0
    assert "no Workflow 'flow' in namespace 'team-a'" in cli("run", "--name", "flow", "-n", "team-a").err
    assert "not in the namespace team-a" in cli("run", "--name", "default/flow", "-n", "team-a").err
    assert "-n is for a stored workflow" in cli("run", "flows/flow.yaml", "-n", "team-a").err
    assert cli("template", "rm", "words", "--force").code == 0
    said = cli("run", "--name", "flow")
    assert said.code == 3
    assert "store:default/flow@2:12:" in said.err


PLAIN = """apiVersion: aether/v1
kind: {kind}
metadata: {{name: {name}}}
spec:
  {more}templates: [{{task: {{name: say, executor: {{type: noop}}}}}}]"""


@pytest.mark.rule("RT-127")
@pytest.mark.parametrize(
    ("ending", "change"),
    [
        ("\n", lambda text: text),
        ("", lambda text: text),
        ("\n\n# the end, \u00e4\u20ac\n", lambda text: "# a note\n" + text),
        ("\n", lambda text: text.replace("\n", "\r\n")),
        ("\n...\n", lambda text: "---\n" + text),
        ("\n", lambda text: "\ufeff" + text),
        ("\n", lambda text: json.dumps(YAML(typ="safe").load(text))),
    ],
    ids=["plain", "no end of line", "comments", "windows", "markers", "byte order mark", "json"],
)
def test_what_is_shown_as_yaml_is_unchanged_when_it_is_applied(
    cli: Cli, tmp_path: Path, ending: str, change: Callable[[str], str]
) -> None:
    more = "entrypoint: say, \n  ".replace(", ", "")
    workflow = PLAIN.format(kind="Workflow", name="flow", more=more) + ending
    template = PLAIN.format(kind="WorkflowTemplate", name="words", more="") + ending
    (tmp_path / "flow.yaml").write_bytes(change(workflow).encode())
    (tmp_path / "words.yaml").write_bytes(change(template).encode())
    (tmp_path / "both.yaml").write_bytes(f"{template}\n---\n{workflow}".replace("name: flow", "name: flow2").encode())
    assert cli("apply", "flow.yaml", "words.yaml").code == 0
    again = cli("apply", "both.yaml")
    assert again.code == 0, again.err
    for command in ("library show flow", "library show words", "template show words", "library show flow2"):
        shown = cli(*command.split(), "-o", "yaml", "--to", "shown.yaml")
        assert (shown.code, shown.err) == (0, "")
        applied = cli("apply", "shown.yaml")
        assert applied.err == "1 unchanged\n", (command, applied.out)
