"""What is special about each provider of secrets; what all share is in tests/contracts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from aether_protocol.adapters.secrets.document import open_secrets_file
from aether_protocol.adapters.secrets.dotenv import parse_dotenv
from aether_protocol.adapters.secrets.environment import EnvironmentSecrets
from aether_protocol.adapters.secrets.files import FileSecrets
from aether_protocol.adapters.secrets.mapping import MappingSecrets
from aether_protocol.errors import PortError


def test_the_process_environment_is_read_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    provider = EnvironmentSecrets()
    monkeypatch.setenv("AETHER_SECRET_DB_MAIN_API_KEY", "late")
    assert provider.get("db-main", "api-key") == "late"
    assert os.environ["AETHER_SECRET_DB_MAIN_API_KEY"] == "late"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("\n\n# only a comment", {}),
        ("A=1\nB = 2 \r\n  C=3", {"A": "1", "B": "2", "C": "3"}),
        ("export A=x y # comment\nB=x#y\nC=# all\nD=", {"A": "x y", "B": "x#y", "C": "", "D": ""}),
        ('A=\'x # $Y \\n\' # c\nB="a\\nb\\"c\\q\\$"', {"A": "x # $Y \\n", "B": 'a\nb"c\\q$'}),
        ("A=\"two\nlines\"\nB='two\nlines'\nC=1", {"A": "two\nlines", "B": "two\nlines", "C": "1"}),
        ("db-main.api_key=v\nA=1\nA=2", {"db-main.api_key": "v", "A": "2"}),
        ("A=it's", {"A": "it's"}),
        ("A=a=b==", {"A": "a=b=="}),
    ],
)
def test_dotenv(text: str, expected: dict[str, str]) -> None:
    assert parse_dotenv(text) == expected


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("A=1\nnonsense hunter2", 2),
        ("=hunter2", 1),
        ('\n\nA="hunter2', 3),
        ("A='hunter2", 1),
        ("A='x' hunter2", 1),
        ("A B=hunter2", 1),
    ],
)
def test_a_faulty_dotenv_line_is_named_and_not_shown(text: str, line: int) -> None:
    with pytest.raises(PortError, match=f"line {line}") as caught:
        parse_dotenv(text)
    assert "hunter2" not in str(caught.value)


def test_dotenv_spellings(tmp_path: Path) -> None:
    (tmp_path / "x.env").write_text("\ufeffA_B_C=flat\na-b.c=dotted\nAETHER_SECRET_X_Y=prefixed\n", "utf-8")
    provider = open_secrets_file(tmp_path / "x.env")
    assert [provider.get(*pair) for pair in (("a-b", "c"), ("a", "b-c"), ("x", "y"))] == ["dotted", "flat", "prefixed"]


def test_files_as_kubernetes_mounts_them(tmp_path: Path) -> None:
    data = tmp_path / "db" / "..2026_01_01"
    data.mkdir(parents=True)
    (data / "password").write_bytes(b"x\r\n")
    (tmp_path / "db" / "..data").symlink_to("..2026_01_01")
    (tmp_path / "db" / "password").symlink_to("..data/password")
    assert FileSecrets(tmp_path).get("db", "password") == "x"
    (data / "password").write_bytes(b"rotated\n\n")
    assert FileSecrets(tmp_path).get("db", "password") == "rotated\n"


def test_a_folder_can_be_given_where_a_secrets_file_can(tmp_path: Path) -> None:
    (tmp_path / "db").mkdir()
    (tmp_path / "db" / "password").write_text("x\n", "utf-8")
    assert open_secrets_file(tmp_path).get("db", "password") == "x"


def test_files_never_lead_out_of_the_folder(tmp_path: Path) -> None:
    inside, outside = tmp_path / "secrets", tmp_path / "outside"
    for folder in (inside / "db", outside):
        folder.mkdir(parents=True)
        (folder / "key").write_text("hunter2", "utf-8")
    (inside / "db" / "linked").symlink_to(outside / "key")
    (inside / "out").symlink_to(outside)
    (inside / "loop").symlink_to("loop")
    provider = FileSecrets(inside)
    for name, key in [("db", "linked"), ("out", "key")]:
        with pytest.raises(PortError, match="leads out of"):
            provider.get(name, key)
    for name, key in [
        ("..", "outside"),
        ("../outside", "key"),
        ("db", "../../outside/key"),
        ("db", "a\x00b"),
        (str(outside), "key"),
    ]:
        assert provider.get(name, key) is None


def test_files_that_cannot_be_secrets(tmp_path: Path) -> None:
    (tmp_path / "db").mkdir()
    (tmp_path / "db" / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "db" / "huge").write_bytes(b"x" * 2_000_000)
    (tmp_path / "db" / "folder").mkdir()
    provider = FileSecrets(tmp_path)
    for key in ("binary", "huge"):
        with pytest.raises(PortError):
            provider.get("db", key)
    assert provider.get("db", "folder") is None


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.yaml", "db: {port: 5432}", "is not text but int"),
        ("a.yaml", "db: {on: true}", "is not text but bool"),
        ("a.yaml", "db: hunter2", "needs a mapping"),
        ("a.yaml", "- hunter2", "a mapping of names"),
        ("a.yaml", "db: {password: 'hunter2", "not yaml"),
        ("a.yaml", "db: {password: !!python/object:os.system hunter2}", "not yaml"),
        ("a.yaml", "db: {password: hunter2, password: hunter3}", "not yaml"),
        ("a.json", '{"db": {"password": "hunter2"', "not json at line 1"),
        ("a.json", "[" * 100_000, "not json"),
        ("a.yaml", "[" * 100_000, "not yaml"),
        ("a.env", "hunter2", "line 1"),
    ],
)
def test_faulty_files_are_refused_without_showing_them(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text, "utf-8")
    with pytest.raises(PortError, match=message) as caught:
        open_secrets_file(tmp_path / name)
    assert "hunter" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_an_empty_file_has_no_secrets_and_a_missing_one_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("", "utf-8")
    assert open_secrets_file(tmp_path / "a.yaml").get("a", "b") is None
    for name in ("b.yaml", "b.env"):
        with pytest.raises(PortError, match="cannot be read"):
            open_secrets_file(tmp_path / name)
        (tmp_path / name).write_bytes(b"\xff")
        with pytest.raises(PortError, match="utf-8"):
            open_secrets_file(tmp_path / name)
        (tmp_path / name).write_bytes(b"#" * 2_000_000)
        with pytest.raises(PortError, match="larger"):
            open_secrets_file(tmp_path / name)


@pytest.mark.parametrize("value", [None, [], "x", {"a": "b"}, {1: {}}, {"a": {1: "b"}}, {"a": {"b": None}}])
def test_a_mapping_is_checked_at_once(value: Any) -> None:
    with pytest.raises(PortError):
        MappingSecrets(value)
