"""Standard output in any encoding, arguments in any bytes, and files that hold what is not text."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.e2e.documents import task, workflow
from tests.e2e.process import AETHER, aether, environment

ENCODINGS = ["latin-1", "ascii", "cp1252", "utf-16", "latin-1:strict"]
WORDS = "é ✓ 😀"


def said(folder: Path, *arguments: str | bytes, **env: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*AETHER, *arguments], cwd=folder, env=environment(AETHER_STORE="sqlite:s.db", **env), capture_output=True,
        stdin=subprocess.DEVNULL, timeout=60, check=False,
    )


@pytest.fixture
def here(tmp_path: Path) -> Path:
    echo = task("a", "echo", f'{{outputs: [{{name: o, value: "{WORDS}"}}]}}')
    tell = task("b", "script", f"{{source: 'echo \"{WORDS}\"'}}")
    workflow(tmp_path, echo, tell, task("c", "fail", f'{{message: "{WORDS}"}}', ", continueOn: {failed: true}"))
    (tmp_path / "bad.yaml").write_text(f"apiVersion: aether/v1\nkind: Workflow\nmetadata: {{name: '{WORDS}'}}\n", "utf-8")
    return tmp_path


@pytest.mark.rule("RT-90")
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_command_ends_as_it_would_and_json_is_that_json(here: Path, encoding: str) -> None:
    name = encoding.partition(":")[0]
    done = said(here, "run", "flow.yaml", "--run-id", "r", "--output", "json", PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr
    outputs = {one["path"]: one["outputs"] for one in json.loads(done.stdout.decode(name))["tasks"]}
    assert outputs["main.a"] == {"o": WORDS}
    for code, command in [
        (0, "run flow.yaml --run-id r"), (0, "show r"), (0, "logs r"), (0, "events r"), (0, "ls"), (0, "wait r"),
        (0, "graph flow.yaml"), (3, "validate bad.yaml"), (3, "validate bad.yaml -o json"), (3, "run bad.yaml"),
        (2, "show nothing"), (0, "--help"), (0, "executors"), (0, "explain AE101"),
    ]:
        done = said(here, *command.split(), PYTHONIOENCODING=encoding)
        assert done.returncode == code, (command, done)
        (done.stdout + done.stderr).decode(name, "strict" if name != "utf-16" else "replace")


@pytest.mark.rule("RT-90")
def test_marks_that_an_encoding_lacks_are_ascii(here: Path) -> None:
    workflow(here, task("a", "noop"), name="plain.yaml")
    done = said(here, "run", "plain.yaml", "--quiet", PYTHONIOENCODING="latin-1")
    assert (done.returncode, done.stdout.splitlines()[0][:16]) == (0, b"+ Succeeded  flo")


@pytest.mark.rule("RT-90")
@pytest.mark.parametrize(("encoding", "cut"), [("latin-1", b"xxx..."), ("ascii", b"xxx..."), ("utf-8", "xxx…".encode())])
def test_where_text_was_cut_the_sign_of_it_is_one_that_the_encoding_has(here: Path, encoding: str, cut: bytes) -> None:
    workflow(here, task("a", "fail", f"{{message: {'x' * 600}}}"), name="long.yaml")
    done = said(here, "run", "long.yaml", "--run-id", "long", PYTHONIOENCODING=encoding)
    assert cut in done.stdout, "the summary"
    assert cut in said(here, "ls", PYTHONIOENCODING=encoding).stdout
    (here / "wide.yaml").write_text(f"apiVersion: aether/v1\nkind: Workflow\nspec: {{a: {'x' * 200}}}\n", "utf-8")
    assert cut in said(here, "validate", "wide.yaml", PYTHONIOENCODING=encoding).stdout
    assert cut in said(here, "run", "wide.yaml", PYTHONIOENCODING=encoding).stderr
    data = said(here, "show", "long", "-o", "json", PYTHONIOENCODING=encoding).stdout
    assert json.loads(data.decode(encoding))["tasks"][-1]["message"] == "x" * 600


C_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
PARAMETER = "  arguments: {parameters: [{name: p, value: x}]}\n"
ECHO = "{name: a, executor: {type: echo, config: {outputs: [{name: o, value: '{{workflow.parameters.p}}'}]}}}"


@pytest.mark.rule("RT-90")
@pytest.mark.parametrize("env", [{}, C_LOCALE], ids=["utf-8", "C"])
def test_arguments_are_read_as_utf8_whatever_the_locale(tmp_path: Path, env: dict[str, str]) -> None:
    workflow(tmp_path, ECHO, spec=PARAMETER)
    done = said(tmp_path, "run", "flow.yaml", "-p", f"p={WORDS}".encode(), "--output", "json", **env)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["tasks"][1]["outputs"] == {"o": WORDS}


HALF = '"\\ud800"'


@pytest.mark.rule("RT-91")
@pytest.mark.parametrize(
    "arguments",
    [
        ["-p", b"p=\xff"], ["-p", b"\xff=1"], ["-p", f"p={HALF}"], ["-p", f"p=[{{{HALF}: 1}}]"], ["--run-id", b"r\xff"],
        ["--lock", b"l\xff"], ["--name", b"n\xff"], ["--resume", f"a={{{HALF}: 1}}"], ["--resume", b"a={\"b\": \"\xff\"}"],
        ["--params-file", "half.json"], ["--params-file", "bytes.yaml"],
    ],
    ids=repr,
)
@pytest.mark.parametrize("env", [{}, C_LOCALE], ids=["utf-8", "C"])
def test_what_is_no_text_is_refused_before_anything_runs(
    tmp_path: Path, arguments: list[str | bytes], env: dict[str, str]
) -> None:
    workflow(tmp_path, ECHO, spec=PARAMETER)
    (tmp_path / "half.json").write_text(f'{{"p": {HALF}}}', "ascii")
    (tmp_path / "bytes.yaml").write_bytes(b"p: \xff\n")
    done = said(tmp_path, "run", "flow.yaml", *arguments, **env)
    assert done.returncode == 2, done
    assert not (tmp_path / "s.db").exists()


@pytest.mark.rule("RT-91")
def test_files_may_be_called_anything(tmp_path: Path) -> None:
    flow = workflow(tmp_path, task("a", "noop"))
    odd = bytes(tmp_path) + b"/\xff.yaml"
    Path(odd.decode("utf-8", "surrogateescape")).write_bytes(flow.read_bytes())
    assert said(tmp_path, "run", odd, "--store", bytes(tmp_path).join([b"sqlite:", b"/\xff.db"])).returncode == 0
    assert said(tmp_path, "validate", odd).returncode == 0


@pytest.mark.rule("RT-91")
def test_secrets_that_are_no_text_are_told_without_their_text(tmp_path: Path) -> None:
    secret = "{name: p, valueFrom: {secretKeyRef: {name: n, key: k}}}"
    script = "executor: {type: script, config: {source: 'true'}}"
    flow = workflow(tmp_path, f"{{name: a, inputs: {{parameters: [{secret}]}}, {script}}}")
    (tmp_path / "s.json").write_text('{"n": {"k": "geheim\\ud800"}}', "ascii")
    done = said(tmp_path, "run", str(flow), "--secrets-file", "s.json")
    assert done.returncode == 9
    assert b"half of a surrogate pair" in done.stderr
    assert b"geheim" not in done.stderr
    done = subprocess.run(
        [*AETHER, "run", str(flow)], cwd=tmp_path, capture_output=True, timeout=60, check=False,
        env={**environment(AETHER_STORE="sqlite:s.db"), "AETHER_SECRET_N_K": "geheim\udcff"},
    )
    assert done.returncode == 4
    assert b"is not utf-8 text" in done.stdout
    assert b"geheim" not in done.stdout + done.stderr


@pytest.mark.rule("RT-91")
@pytest.mark.parametrize(
    ("source", "phase"),
    [
        ("printf '{\"o\": \"\\\\ud800\"}' > $AETHER_OUTPUTS", "Error"),
        ("printf '{\"\\\\ud800\": 1}' > $AETHER_OUTPUTS", "Error"),
        ("printf '\\xff'; printf '\\xff' >&2", "Succeeded"),
        ("printf 'a\\0b'", "Succeeded"),
    ],
)
def test_what_a_script_writes_is_refused_or_cleaned(tmp_path: Path, source: str, phase: str) -> None:
    flow = workflow(tmp_path, task("a", "script", f"{{runtime: bash, source: {json.dumps(source)}}}"))
    done = said(tmp_path, "run", str(flow), "--run-id", "r", "--output", "json")
    assert json.loads(done.stdout)["phase"] == phase, done
    for command in ("show r", "logs r", "events r", "db check"):
        assert said(tmp_path, *command.split()).returncode == 0


@pytest.mark.rule("RT-91")
def test_an_import_refuses_what_is_no_text(tmp_path: Path) -> None:
    import hashlib

    flow = workflow(tmp_path, task("a", "script", "{source: 'echo one'}"))
    assert aether("run", flow, "--run-id", "r", cwd=tmp_path, AETHER_STORE="sqlite:s.db").returncode == 0
    told = aether("export", "r", cwd=tmp_path, AETHER_STORE="sqlite:s.db").stdout
    for before, after in [('"one\\n"', HALF), ('"flow"', HALF)]:
        lines = told.replace(before, after).splitlines(keepends=True)[:-1]
        assert "".join(lines) != "".join(told.splitlines(keepends=True)[:-1])
        end = hashlib.sha256("".join(lines).encode()).hexdigest()
        (tmp_path / "r.jsonl").write_text("".join(lines) + json.dumps({"end": end}) + "\n", "utf-8")
        done = aether("import", "r.jsonl", cwd=tmp_path, AETHER_STORE="sqlite:other.db")
        assert done.returncode == 2, done
        assert "half of a surrogate pair" in done.stderr
    assert aether("ls", cwd=tmp_path, AETHER_STORE="sqlite:other.db").returncode == 2, "nothing was taken in"
