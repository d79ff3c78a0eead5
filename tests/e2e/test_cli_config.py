"""Settings of files, variables and flags as commands see them, and how they find the store."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.e2e.process import AETHER, ROOT, aether, bound_by_rights, environment
from tests.e2e.store_cli import Cli, ids, make_cli

FLOW = """\
apiVersion: aether/v1
kind: Workflow
metadata: {{ name: flow }}
spec:
  entrypoint: main
  templates: [{{ dag: {{ name: main, tasks: [{{ name: a, {what} }}] }} }}]
"""
NOOP = FLOW.format(what="executor: { type: noop }")


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """In `project/deep`, a folder of a repository; the home is empty."""
    (tmp_path / "project" / ".git").mkdir(parents=True)
    (tmp_path / "project" / "deep").mkdir()
    (tmp_path / "project" / "flow.yaml").write_text(NOOP, "utf-8")
    monkeypatch.delenv("AETHER_CONFIG")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    return make_cli(tmp_path / "project" / "deep", monkeypatch, capsys)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return tmp_path / "project"


def settings(folder: Path, text: str) -> None:
    (folder / "aether.toml").write_text(text, "utf-8")


# --- the store ---

NEEDS_ONE = [
    ("ls",), ("show", "latest"), ("logs", "x"), ("events", "x"), ("replay", "x"), ("diff", "x", "y"), ("wait", "x"),
    ("resume", "x"), ("cancel", "x"), ("retry", "x"), ("rm", "x"), ("prune", "--older-than", "1d"), ("export", "x"),
    ("db", "check"), ("db", "info"), ("template", "ls"), ("cron", "ls"), ("cron", "show", "x"), ("cron", "history", "x"),
    ("cron", "suspend", "x"), ("cron", "resume", "x"), ("cron", "trigger", "x"), ("cron", "tick"),
]  # fmt: skip


@pytest.mark.rule("RT-111")
@pytest.mark.parametrize("arguments", NEEDS_ONE, ids=" ".join)
def test_every_command_says_the_same_where_there_is_no_store(arguments: tuple[str, ...], cli: Cli, project: Path) -> None:
    said = cli(*arguments)
    first, hint = said.err.splitlines()[:2]
    assert said.code == 2, said.err
    assert first == f"error: there is no store: no '.aether/aether.db' in '{project}/deep' and its parents up to '{project}'"
    assert hint.startswith("  hint: 'aether run' makes one here; --store, AETHER_STORE")
    assert [*(project / "deep").iterdir()] == []


@pytest.mark.rule("RT-111")
def test_a_new_store_is_made_here_and_found_from_below(
    cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli("run", "../flow.yaml", "--run-id", "one").code == 0
    assert (project / "deep" / ".aether" / "aether.db").is_file()
    assert (project / "deep" / ".aether" / ".gitignore").read_text() == "*\n"
    below = project / "deep" / "er"
    below.mkdir()
    monkeypatch.chdir(below)
    assert ids(cli("ls", "--output", "json")) == ["one"]
    assert cli("run", "../../flow.yaml", "--run-id", "two").code == 0
    assert [*below.iterdir()] == []
    monkeypatch.chdir(project)
    assert "there is no store" in cli("ls").err, "a store is looked for above, not below"


@pytest.mark.rule("RT-111")
def test_the_nearest_store_counts_and_none_above_the_repository(
    cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project.parent)
    assert cli("run", "project/flow.yaml", "--run-id", "outside").code == 0
    monkeypatch.chdir(project / "deep")
    assert "there is no store" in cli("ls").err
    monkeypatch.chdir(project)
    assert cli("run", "flow.yaml", "--run-id", "root").code == 0
    monkeypatch.chdir(project / "deep")
    assert ids(cli("ls", "--output", "json")) == ["root"]
    monkeypatch.setenv("AETHER_STORE", "sqlite:own.db")
    assert cli("run", "../flow.yaml", "--run-id", "own").code == 0
    monkeypatch.delenv("AETHER_STORE")
    assert ids(cli("ls", "--output", "json")) == ["root"], "workspaces of another store make no store"


@pytest.mark.rule("RT-111")
def test_what_is_configured_counts_before_what_is_found(cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cli("run", "../flow.yaml", "--run-id", "found").code == 0
    settings(project, "[store]\nurl = 'sqlite:data/runs.db'\n[profile.other.store]\nurl = 'sqlite:///other.db'\n")
    assert cli("ls").err.startswith(f"error: there is no store at 'sqlite:{project}/data/runs.db'")
    assert cli("run", "../flow.yaml", "--run-id", "configured").code == 0
    assert cli("run", "../flow.yaml", "--run-id", "other", "--profile", "other").code == 0
    assert ids(cli("ls", "--output", "json")) == ["configured"]
    assert ids(cli("ls", "--profile", "other", "--output", "json")) == ["other"]
    assert (project / "other.db").is_file()
    monkeypatch.setenv("AETHER_PROFILE", "other")
    assert ids(cli("ls", "--output", "json")) == ["other"]
    monkeypatch.setenv("AETHER_STORE", "sqlite:.aether/aether.db")
    assert ids(cli("ls", "--output", "json")) == ["found"]
    assert ids(cli("ls", "--store", f"sqlite:{project}/data/runs.db", "--output", "json")) == ["configured"]


@pytest.mark.skipif(os.geteuid() != 0, reason="files can be given to another user by root alone")
@pytest.mark.parametrize("what", [".aether", ".aether/aether.db"])
def test_a_store_of_another_user_is_refused(
    what: str, cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    assert cli("run", "flow.yaml", "--run-id", "one").code == 0
    monkeypatch.chdir(project / "deep")
    os.chown(project / what, 12345, -1)
    said = cli("ls")
    assert said.code == 2
    assert f"'{project}/.aether/aether.db' is not used: it or its folder belongs to user 12345" in said.err
    assert ids(cli("ls", "--store", f"sqlite:{project}/.aether/aether.db", "--output", "json")) == ["one"]


def test_tier_and_durability_of_a_file_reach_the_store(cli: Cli, project: Path) -> None:
    settings(project, "[persistence]\nmode = 'snapshot'\n[store]\ndurability = 'normal'\n")
    assert cli("run", "../flow.yaml", "--run-id", "one").code == 0
    assert "(snapshot)" in cli("show", "one").out
    url = "sqlite:.aether/aether.db?tier=state-action-log"
    assert cli("run", "../flow.yaml", "--run-id", "two", "--store", url).code == 0
    assert "(state-action-log)" in cli("show", "two").out


# --- the other sections ---


def test_a_library_and_secrets_of_a_file(cli: Cli, project: Path) -> None:
    (project / "lib").mkdir()
    (project / "lib" / "t.yaml").write_text(
        "apiVersion: aether/v1\nkind: WorkflowTemplate\nmetadata: { name: shared }\nspec:\n  templates:\n"
        "    - task:\n        name: t\n        inputs:\n          parameters:\n"
        "            - { name: token, type: string, valueFrom: { secretKeyRef: { name: db, key: token } } }\n"
        "        executor: { type: script, config: { runtime: sh, source: 'echo $AETHER_INPUT_TOKEN' } }\n",
        "utf-8",
    )
    (project / ".env").write_text("DB_TOKEN=sesame\n", "utf-8")
    flow = FLOW.format(what="templateRef: { name: shared, template: t }")
    (project / "flow.yaml").write_text(flow, "utf-8")
    assert "shared" in cli("validate", "../flow.yaml").out + cli("validate", "../flow.yaml").err
    settings(project, "[library]\npaths = ['lib']\n[secrets]\nfiles = ['.env']\n")
    said = cli("run", "../flow.yaml", "--run-id", "one")
    assert said.code == 0, said.err
    assert "***" in cli("logs", "one").out


def test_limits_of_a_file_and_of_the_command_line_merge(cli: Cli, project: Path) -> None:
    settings(project, "[limits]\nnodes = 5\nnesting = 3\n")
    said = cli("validate", "../flow.yaml")
    assert (said.code, "AE104" in said.out + said.err) == (3, True)
    assert cli("validate", "../flow.yaml", "--max", "nodes=500").code == 3
    assert cli("validate", "../flow.yaml", "--max", "nodes=500", "--max", "nesting=50").code == 0


def test_workspaces_and_artifacts_lie_where_a_file_says(cli: Cli, project: Path) -> None:
    settings(project, "[workspaces]\npath = 'work'\n")
    (project / "flow.yaml").write_text(
        FLOW.format(what="executor: { type: script, config: { runtime: sh, source: 'echo x > left; exit 3' } }"), "utf-8"
    )
    assert cli("run", "../flow.yaml", "--run-id", "one").code == 1
    assert cli("show", "one", "a", "--workspace").out.startswith(f"{project}/work/one/")


def test_faults_of_a_file_are_told_with_their_places(cli: Cli, project: Path) -> None:
    settings(project, "[store]\nurll = 'x'\n[concurrency]\nattempts = 'many'\n")
    said = cli("ls")
    assert said.code == 3
    assert f"{project}/aether.toml:2:1: error AE602: unknown key 'urll'" in said.err
    assert "  2 | urll = 'x'\n    | ^\n" in said.err
    assert " hint: did you mean 'url'?" in said.err
    assert f"{project}/aether.toml:4:12: error AE603: concurrency.attempts is 'many', not a whole number" in said.err


def test_a_faulty_variable_is_named(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AETHER_CONCURRENCY", "many")
    said = cli("run", "../flow.yaml")
    assert (said.code, said.err) == (2, "error: AETHER_CONCURRENCY is 'many', not a whole number of at least 1\n")


@pytest.mark.parametrize("arguments", [("--version",), ("--help",), ("run", "--help"), ("explain", "AE101"), ("schema",)])
def test_what_needs_no_setting_reads_none(arguments: tuple[str, ...], cli: Cli, project: Path) -> None:
    settings(project, "nonsense")
    assert cli(*arguments).code == 0


def test_a_store_that_is_named_needs_no_valid_file_to_be_looked_at(cli: Cli, project: Path) -> None:
    """Tier and durability may come from a file, so that also a named store reads it."""
    settings(project, "nonsense")
    assert cli("ls", "--store", "sqlite:x.db").code == 3


# --- aether config ---


def test_show_says_where_each_value_comes_from(
    cli: Cli, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings(project, "[store]\nurl = 'sqlite:a.db'\n[profile.prod.limits]\nnodes = 7\n")
    (tmp_path / "home" / "aether").mkdir(parents=True)
    settings(tmp_path / "home" / "aether", "[limits]\nbytes = 9\n[profile.prod]\n[store]\nurl = 'sqlite:hidden.db'\n")
    monkeypatch.setenv("AETHER_CONCURRENCY", "3")
    shown = cli("config", "show", "--profile", "prod", "-o", "json").json
    found = {one["key"]: (one["value"], one["source"]) for one in shown["settings"]}
    file = str(project / "aether.toml")

    def source(kind: str, name: str | None = None, line: int | None = None, profile: str | None = None) -> dict[str, object]:
        return {"kind": kind, "name": name, "line": line, "profile": profile}

    assert found["store.url"] == (f"sqlite:{project}/a.db", source("project", file, 2))
    assert found["limits.nodes"] == (7, source("profile", file, 4, "prod"))
    assert found["limits.bytes"] == (9, source("user", str(tmp_path / "home" / "aether" / "aether.toml"), 2))
    assert found["concurrency.attempts"] == (3, source("variable", "AETHER_CONCURRENCY"))
    assert found["limits.nesting"] == (200, source("default"))
    assert (shown["profile"], shown["store"], len(shown["digest"])) == ("prod", f"sqlite:{project}/a.db", 64)
    assert [one["layer"] for one in shown["files"]] == ["user", "project"]
    text = cli("config", "show", "--profile", "prod").out
    assert f"{file}:4 (profile prod)" in text
    assert "AETHER_CONCURRENCY" in text


def test_show_masks_passwords(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AETHER_STORE", "postgres://me:sesame@host/db")
    for output in ("text", "json"):
        said = cli("config", "show", "-o", output)
        assert (said.code, "sesame" in said.out + said.err, "me:***@host" in said.out) == (0, False, True)


def test_path_lists_the_files_that_count(cli: Cli, project: Path) -> None:
    said = cli("config", "path")
    assert (said.code, said.out, said.err) == (0, "", "there is no aether.toml here\n")
    settings(project, "")
    (project / "pyproject.toml").write_text("[tool.aether]\n", "utf-8")
    said = cli("config", "path")
    assert (said.code, said.out) == (0, f"{project}/aether.toml\n")
    assert f"warning: {project}/pyproject.toml: its [tool.aether] does not count beside 'aether.toml'" in said.err


def test_validate_tells_faults_as_for_documents(cli: Cli, project: Path) -> None:
    assert cli("config", "validate").out == "0 errors, 0 warnings in 0 files\n"
    settings(project, "[stor]\n")
    said = cli("config", "validate", "-o", "json")
    assert said.code == 3
    assert [(one["code"], one["line"], one["column"]) for one in said.json["diagnostics"]] == [("AE602", 1, 2)]
    assert cli("config", "validate", "-o", "github").out.startswith(f"::error file={project}/aether.toml,")
    (project / "other.toml").write_text("[store]\n", "utf-8")
    assert cli("config", "validate", "../other.toml").code == 0
    assert cli("config", "validate", "nowhere.toml").code == 2


@pytest.mark.parametrize("command", [("config", "show"), ("config", "path"), ("ls",), ("run", "../flow.yaml")])
def test_a_profile_that_is_not_there_is_told_by_all(command: tuple[str, ...], cli: Cli, project: Path) -> None:
    settings(project, "[profile.production]\n")
    said = cli(*command, "--profile", "prodution")
    assert said.code == 2
    assert said.err == "error: there is no profile 'prodution'\n  hint: did you mean 'production'?\n"


# --- what a run records ---


@pytest.mark.rule("RT-114")
def test_a_run_records_digest_and_profile(cli: Cli, project: Path) -> None:
    settings(project, "[limits]\nnodes = 100\n[profile.prod.limits]\nnodes = 200\n")
    plain = cli("config", "show", "-o", "json").json["digest"]
    prod = cli("config", "show", "--profile", "prod", "-o", "json").json["digest"]
    assert plain != prod
    assert cli("run", "../flow.yaml", "--run-id", "plain").code == 0
    assert cli("run", "../flow.yaml", "--run-id", "prod", "--profile", "prod").code == 0
    assert cli("run", "../flow.yaml", "--run-id", "flag", "--concurrency", "3").code == 0
    shown = {name: cli("show", name, "--output", "json").json["configuration"] for name in ("plain", "prod", "flag")}
    assert shown["plain"] == {"profile": None, "digest": plain}
    assert shown["prod"] == {"profile": "prod", "digest": prod}
    assert shown["flag"]["digest"] not in (plain, prod), "flags are a part of what holds"
    assert f"  settings:    {prod[:16]} (profile prod)\n" in cli("show", "prod").out
    assert f"  settings:    {plain[:16]}\n" in cli("show", "plain").out


@pytest.mark.rule("RT-114")
def test_a_retry_records_the_configuration_that_holds_then(cli: Cli, project: Path) -> None:
    flow = FLOW.format(what="executor: { type: script, config: { runtime: sh, source: exit 3 } }")
    (project / "flow.yaml").write_text(flow, "utf-8")
    assert cli("run", "../flow.yaml", "--run-id", "one").code == 1
    settings(project, "[limits]\nnodes = 100\n[profile.prod]\n")
    assert cli("retry", "one", "--profile", "prod").code == 1
    before, after = (cli("show", name, "--output", "json").json["configuration"] for name in ("one", "one.2"))
    assert (before["profile"], after["profile"]) == (None, "prod")
    assert before["digest"] != after["digest"]


def test_the_level_of_messages(cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that cannot be taken up is logged as an error, unless more severe ones are asked for; nothing is more severe."""
    import logging

    for level, number in (("error", logging.ERROR), ("debug", logging.DEBUG), ("warning", logging.WARNING)):
        settings(project, f"[logging]\nlevel = '{level}'\n")
        assert cli("run", "../flow.yaml").code == 0
        assert logging.getLogger("aether_protocol").level == number
    monkeypatch.setenv("AETHER_LOGGING_LEVEL", "loud")
    said = cli("run", "../flow.yaml")
    assert (said.code, "AETHER_LOGGING_LEVEL is 'loud', not one of 'debug'" in said.err) == (2, True)


# --- artifacts, executors ---

KEEPS = FLOW.format(
    what="executor: { type: script, config: { runtime: sh, source: echo hi > f } }, "
    "outputs: { artifacts: [{ name: f, path: f }] }"
)


def test_artifacts_lie_where_a_file_says_for_all_commands(cli: Cli, project: Path) -> None:
    settings(project, "[artifacts]\npath = 'kept here'\n")
    (project / "flow.yaml").write_text(KEEPS, "utf-8")
    said = cli("run", "../flow.yaml", "--run-id", "one")
    assert said.code == 0, said.err
    kept = [path for path in (project / "kept here").rglob("*") if path.is_file()]
    assert [path.read_text() for path in kept if path.stat().st_size == 3] == ["hi\n"]
    assert not (project / "deep" / ".aether" / "artifacts").exists()
    assert cli("db", "check").code == 0
    (project / "aether.toml").unlink()
    assert cli("db", "check").code == 9, "elsewhere it is missing"
    url = "sqlite:.aether/aether.db?artifacts=../kept%20here"
    assert cli("db", "check", "--store", url).code == 0


@pytest.mark.rule("RT-115")
def test_an_executor_that_is_turned_off(cli: Cli, project: Path) -> None:
    (project / "flow.yaml").write_text(KEEPS, "utf-8")
    assert cli("run", "../flow.yaml", "--run-id", "before").code == 0
    settings(project, "[executors.script]\nenabled = false\n[profile.trusted.executors.script]\nenabled = true\n")
    said = cli("run", "../flow.yaml")
    assert said.code == 3
    assert "error AE406: executor 'script' is turned off" in said.err
    assert f"hint: by executors.script.enabled = false of {project}/aether.toml:2" in said.err
    assert cli("validate", "../flow.yaml").code == 3
    assert cli("run", "../flow.yaml", "--profile", "trusted").code == 0
    retried = cli("retry", "before", "--from", "main.a")
    assert retried.code == 4, retried.err
    assert "'script'" in cli("show", "before.2").out


@pytest.mark.rule("RT-115")
def test_an_executor_of_the_library_is_turned_off_too(cli: Cli, project: Path) -> None:
    (project / "lib.yaml").write_text(
        KEEPS.replace("kind: Workflow", "kind: WorkflowTemplate").replace("  entrypoint: main\n", ""), "utf-8"
    )
    settings(project, "[library]\npaths = ['lib.yaml']\n[executors]\nscript.enabled = false\n")
    (project / "flow.yaml").write_text(FLOW.format(what="templateRef: { name: flow, template: main }"), "utf-8")
    said = cli("run", "../flow.yaml")
    assert (said.code, "AE406" in said.err) == (3, True)


# --- as a process ---


def test_a_file_that_may_not_be_read_is_told(project: Path, cli: Cli) -> None:
    settings(project, "[limits]\nnodes = 5\n")
    (project / "aether.toml").chmod(0)
    done = aether("config", "path", cwd=project / "deep", before=bound_by_rights, AETHER_CONFIG="")
    assert done.returncode == 9, done.stderr
    assert f"cannot read '{project}/aether.toml': Permission denied" in done.stderr


def test_without_a_home_and_in_a_folder_that_is_gone(project: Path, cli: Cli) -> None:
    command = f"'{AETHER[0]}' -m aether_protocol.cli config path"
    script = f"mkdir gone && cd gone && rmdir ../gone && unset HOME XDG_CONFIG_HOME && {command}"
    done = subprocess.run(
        ["sh", "-c", script], cwd=project, env=environment(AETHER_CONFIG="", PYTHONPATH=str(ROOT)),
        capture_output=True, text=True, timeout=60, check=False,
    )
    assert (done.returncode, done.stderr) == (0, "there is no aether.toml here\n"), done.stderr
