"""Which value holds and where it comes from; what is wrong with files, variables and profiles."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from aether_protocol.assembly.configuration import Configuration, find, load_configuration
from aether_protocol.assembly.configuration.settings import settings
from aether_protocol.errors import DocumentError, UsageError

Load = Callable[..., Configuration]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """A repository `project`, a home `home` and a system folder of its own; the variables are those that are given."""
    monkeypatch.setattr(find, "SYSTEM_FOLDER", str(tmp_path / "etc"))
    (tmp_path / "project" / ".git").mkdir(parents=True)

    def configuration(folder: str = "project", profile: str | None = None, **variables: str) -> Configuration:
        environ = {"HOME": str(tmp_path / "home"), **variables}
        return load_configuration(tmp_path / folder, profile=profile, environ=environ)

    return configuration


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str], Path]:
    def file(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        return path

    return file


Write = Callable[[str, str], Path]


def said(configuration: Configuration, key: str) -> tuple[object, str]:
    found = configuration.find(key)
    return found.value, str(found.source)


def faults(load: Load, **given: str) -> list[tuple[str, int, int, str, str | None]]:
    with pytest.raises(DocumentError) as told:
        load(**given)
    return [(Path(d.file).name, d.line, d.column, d.message, d.hint) for d in told.value.diagnostics]


# --- which value holds ---


def test_without_files_and_variables_the_defaults_hold(load: Load) -> None:
    configuration = load()
    assert configuration.files == []
    assert {(one.value, str(one.source)) for one in configuration.all() if one.key == "limits.nesting"} == {(200, "default")}
    assert configuration.store.durability == "full"
    assert configuration.executor("script").enabled is True


def test_each_source_hides_the_lower_ones(load: Load, write: Write) -> None:
    layers = [
        ("etc/aether.toml", "system"),
        ("home/.config/aether/aether.toml", "user"),
        ("project/aether.toml", "project"),
    ]
    for number, (name, kind) in enumerate(layers, 1):
        write(name, f"[concurrency]\nattempts = {number}\n")
        found = load().find("concurrency.attempts")
        assert (found.value, found.source.kind, found.source.line) == (number, kind, 2)
    write("project/aether.toml", "[concurrency]\nattempts = 3\n[profile.prod.concurrency]\nattempts = 4\n")
    assert load().value("concurrency.attempts") == 3
    found = load(profile="prod").find("concurrency.attempts")
    assert (found.value, found.source.kind, found.source.profile, found.source.line) == (4, "profile", "prod", 4)
    assert said(load(AETHER_PROFILE="prod", AETHER_CONCURRENCY="5"), "concurrency.attempts") == (5, "AETHER_CONCURRENCY")
    flagged = load(AETHER_CONCURRENCY="5").with_flags({"concurrency.attempts": ("--concurrency", 6)})
    assert said(flagged, "concurrency.attempts") == (6, "--concurrency")


def test_tables_merge_by_key_and_lists_replace(load: Load, write: Write, tmp_path: Path) -> None:
    write("home/.config/aether/aether.toml", "[limits]\nbytes = 10\nnodes = 20\n[library]\npaths = ['a', 'b']\n")
    write("project/aether.toml", "[limits]\nnodes = 30\n[library]\npaths = ['c']\n")
    configuration = load()
    assert (configuration.limits.bytes, configuration.limits.nodes, configuration.limits.nesting) == (10, 30, 200)
    assert configuration.library.paths == [str(tmp_path / "project" / "c")]
    write("project/aether.toml", "[library]\npaths = []\n")
    assert load().library.paths == []


def test_a_profile_changes_only_what_it_names(load: Load, write: Write) -> None:
    write(
        "project/aether.toml",
        "[limits]\nbytes = 1\nnodes = 2\n[profile.prod.limits]\nnodes = 3\n[profile.dev]\nlimits.nesting = 4\n",
    )
    write("home/.config/aether/aether.toml", "[profile.prod.limits]\nnesting = 5\nnodes = 6\n")
    limits = load(profile="prod").limits
    assert (limits.bytes, limits.nodes, limits.nesting) == (1, 3, 5)
    limits = load(profile="dev").limits
    assert (limits.bytes, limits.nodes, limits.nesting) == (1, 2, 4)


def test_relative_paths_count_from_the_file_and_the_home(load: Load, write: Write, tmp_path: Path) -> None:
    write(
        "project/aether.toml",
        "[store]\nurl = 'sqlite:///data/a.db?tier=snapshot'\n[secrets]\nfiles = ['.env', '../x', '/abs', '~/s.env']\n"
        "[workspaces]\npath = 'w'\n[artifacts]\npath = './k'\n",
    )
    write("project/deep/er/x", "")
    configuration = load("project/deep/er")
    project = tmp_path / "project"
    assert configuration.store.url == f"sqlite:{project}/data/a.db?tier=snapshot"
    home = os.path.expanduser("~/s.env")
    assert configuration.secrets.files == [str(project / ".env"), str(tmp_path / "x"), "/abs", home]
    assert (configuration.workspaces.path, configuration.artifacts.path) == (str(project / "w"), str(project / "k"))


def test_paths_of_variables_stay_as_they_are(load: Load) -> None:
    configuration = load(AETHER_STORE="sqlite:a.db", AETHER_LIBRARY=f"x{os.pathsep}y", AETHER_WORKSPACES="w")
    assert (configuration.store.url, configuration.library.paths) == ("sqlite:a.db", ["x", "y"])
    assert configuration.workspaces.path == "w"


@pytest.mark.parametrize(
    ("text", "url", "tier"),
    [
        ("[persistence]\nmode = 'snapshot'\n", None, "snapshot"),
        ("[persistence]\nmode = 'state-action-log'\ndb_path = 'd/a.db'\n", "sqlite:PROJECT/d/a.db", "state-action-log"),
        ("[server]\ndb_path = '/d/a.db'\n[persistence]\nmode = 'snapshot'\n", "sqlite:/d/a.db", "snapshot"),
        ("[persistence]\nmode = 'memory'\n", "memory", "state-action-log"),
        ("[server]\ndb_path = 'a.db'\n[persistence]\nmode = 'memory'\n", "memory", "state-action-log"),
        ("[persistence]\nmode = 'memory'\ndb_path = 'a.db'\n", "memory", "state-action-log"),
    ],
)
def test_the_words_of_the_prior_system(text: str, url: str | None, tier: str, load: Load, write: Write, tmp_path: Path) -> None:
    write("project/aether.toml", text)
    store = load().store
    assert (store.url, store.tier) == (url and url.replace("PROJECT", str(tmp_path / "project")), tier)


# --- what is found ---


@pytest.mark.parametrize("mark", [".git", ".git as a file", ".hg", ".jj"])
def test_the_nearest_file_up_to_the_root_of_the_repository(mark: str, load: Load, write: Write, tmp_path: Path) -> None:
    (tmp_path / "project" / ".git").rmdir()
    if mark == ".git as a file":  # as in a worktree
        write("project/.git", "gitdir: elsewhere\n")
    else:
        (tmp_path / "project" / mark).mkdir()
    write("aether.toml", "[limits]\nbytes = 1\n")  # above the root
    write("project/a/b/c/x", "")
    assert load("project/a/b/c").limits.bytes == 10 * 1024 * 1024
    write("project/aether.toml", "[limits]\nbytes = 2\n")
    assert load("project/a/b/c").limits.bytes == 2
    write("project/a/b/aether.toml", "[limits]\nbytes = 3\n")
    assert load("project/a/b/c").limits.bytes == 3
    assert load("project/a").limits.bytes == 2


def test_outside_of_a_repository_the_folder_alone(load: Load, write: Write) -> None:
    write("plain/aether.toml", "[limits]\nbytes = 1\n")
    write("plain/sub/x", "")
    assert load("plain").limits.bytes == 1
    assert load("plain/sub").limits.bytes != 1


def test_pyproject_counts_where_there_is_no_file_of_our_own(load: Load, write: Write, tmp_path: Path) -> None:
    write("project/pyproject.toml", "[tool.other]\na = 1\n[tool.aether.limits]\nbytes = 4\n")
    write("project/sub/pyproject.toml", "[project]\nname = 'aether-user'\n")  # others' files are passed over
    assert said(load("project/sub"), "limits.bytes") == (4, f"{tmp_path}/project/pyproject.toml:4")
    write("project/aether.toml", "[limits]\nnodes = 5\n")
    configuration = load("project/sub")
    assert (configuration.limits.bytes, configuration.limits.nodes) == (10 * 1024 * 1024, 5)
    assert [(one.code, one.severity, Path(one.file).name) for one in configuration.warnings] == [
        ("AE605", "warning", "pyproject.toml")
    ]


@pytest.mark.parametrize("text", ["[broken\naether = ", "name = 'aether' 'x'\n", "\xff aether"])
def test_a_broken_pyproject_of_others_is_theirs(text: str, load: Load, write: Write) -> None:
    write("project/pyproject.toml", text)
    assert load().files == []


def test_a_broken_pyproject_of_ours_is_told(load: Load, write: Write) -> None:
    write("project/pyproject.toml", "[tool.aether]\na = = 1\n")
    assert faults(load) == [("pyproject.toml", 2, 5, "not TOML: invalid value", None)]


def test_the_home_is_looked_for_as_the_rules_say(load: Load, write: Write, tmp_path: Path) -> None:
    write("xdg/aether/aether.toml", "[limits]\nbytes = 1\n")
    write("home/.config/aether/aether.toml", "[limits]\nbytes = 2\n")
    assert load(XDG_CONFIG_HOME=str(tmp_path / "xdg")).limits.bytes == 1
    assert load(XDG_CONFIG_HOME="xdg").limits.bytes == 2  # a relative one is to be ignored
    assert load(XDG_CONFIG_HOME="").limits.bytes == 2


def test_without_a_home_that_of_the_user_database_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(find, "SYSTEM_FOLDER", str(tmp_path))
    assert load_configuration(tmp_path, environ={}).limits.nesting == 200


def test_a_file_that_is_named_replaces_all_others(load: Load, write: Write, tmp_path: Path) -> None:
    write("project/aether.toml", "[limits]\nbytes = 1\nnodes = 1\n")
    named = write("other/settings.toml", "[limits]\nbytes = 2\n")
    limits = load(AETHER_CONFIG=str(named)).limits
    assert (limits.bytes, limits.nodes) == (2, 2_000_000)
    assert load(AETHER_CONFIG="/dev/null").limits.nodes == 2_000_000
    with pytest.raises(UsageError, match="there is no configuration file"):
        load(AETHER_CONFIG=str(tmp_path / "nothing.toml"))


# --- what is wrong ---


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[stor]\nurl = 'x'\n", [(1, 2, "unknown key 'stor'", "did you mean 'store'?")]),
        ("[store]\nurls = 'x'\n", [(2, 1, "unknown key 'urls'", "did you mean 'url'?")]),
        ("[profile.p.store]\nurls = 'x'\n", [(2, 1, "unknown key 'urls'", "did you mean 'url'?")]),
        ("profile.p.profile.q = 1\n", [(1, 11, "unknown key 'profile'", None)]),
        ("[executors.http]\nenable = true\n", [(2, 1, "unknown key 'enable'", "did you mean 'enabled'?")]),
        ("executors.http = false\n", [(1, 18, "http is False, not a table", None)]),
        ("store = 'sqlite:x'\n", [(1, 9, "store is 'sqlite:x', not a table", None)]),
        ("profile = 'prod'\n", [(1, 11, "profile is 'prod', not a table", None)]),
        ("profile.prod = 1\n", [(1, 16, "prod is 1, not a table", None)]),
        (
            "concurrency.attempts = '4'\n",
            [(1, 24, "concurrency.attempts is '4', not a whole number of at least 1", None)],
        ),
        ("concurrency.attempts = 0\n", [(1, 24, "concurrency.attempts is 0, not a whole number of at least 1", None)]),
        ("concurrency.attempts = true\n", [(1, 24, "concurrency.attempts is True, not a whole number of at least 1", None)]),
        ("limits.bytes = 1.5\n", [(1, 16, "limits.bytes is 1.5, not a whole number of at least 1", None)]),
        ("limits.bytes = 1979-05-27\n", [(1, 16, None, None)]),
        (
            "store.durability = 'ful'\n",
            [(1, 20, "store.durability is 'ful', not one of 'full', 'normal'", "did you mean 'full'?")],
        ),
        ("logging.debug = 'yes'\n", [(1, 17, "logging.debug is 'yes', not true or false", None)]),
        ("library.paths = 'a'\n", [(1, 17, "library.paths is 'a', not a list of paths", None)]),
        ("library.paths = ['a', 1]\n", [(1, 17, "library.paths is a list, not a list of paths", None)]),
        ("library.paths = ['a', '']\n", [(1, 17, "library.paths is a list, not a list of paths", None)]),
        ("workspaces.path = ''\n", [(1, 19, "workspaces.path is '', not a path", None)]),
        (
            "store.url = 'sqlite://u:secret@host/x'\n",
            [(1, 13, "store.url is 'sqlite://u:***@host/x', not the URL of a store", None)],
        ),
        (
            "store.tier = 'snapshot'\npersistence.mode = 'snapshot'\n",
            [(2, 13, "persistence.mode sets what line 1 sets already", "keep one of them")],
        ),
        (
            "server.db_path = 'a'\n[persistence]\ndb_path = 'b'\n",
            [(3, 1, "persistence.db_path sets what line 1 sets already", "keep one of them")],
        ),
        ("server.port = 1\n", [(1, 8, "unknown key 'port'", None)]),
        ("a = 1\nb = 2\n[store]\nc = 3\n", [(1, 1, None, None), (2, 1, None, None), (4, 1, None, None)]),
        ("\ufeff[x]\n", [(1, 2, "unknown key 'x'", None)]),
        ("a = 1\r\nb\r\n", [(2, 2, "not TOML: expected '=' after a key in a key/value pair", None)]),
        ("[store]\ntier = 'snapshot'\ntier = 'snapshot'\n", [(3, 18, "not TOML: cannot overwrite a value", None)]),
    ],
)
def test_faults_have_a_place_and_advice(
    text: str, found: list[tuple[int, int, str | None, str | None]], load: Load, tmp_path: Path
) -> None:
    (tmp_path / "project" / "aether.toml").write_bytes(text.encode())
    for got, (line, column, message, hint) in zip(faults(load), found, strict=True):
        assert got[:3] == ("aether.toml", line, column)
        assert message in (None, got[3])
        assert hint in (None, got[4])


def test_faults_of_all_files_are_told_at_once_and_are_bounded(load: Load, write: Write) -> None:
    write("home/.config/aether/aether.toml", "a = 1\n")
    write("project/aether.toml", "".join(f"k{n} = 1\n" for n in range(500)))
    assert len(faults(load)) == 51


def test_a_profile_that_is_not_there(load: Load, write: Write) -> None:
    with pytest.raises(UsageError, match="there is no profile 'prod'") as told:
        load(profile="prod")
    assert told.value.hint == "no file has a [profile.NAME]"
    write("project/aether.toml", "[profile.production]\n[profile.dev]\n")
    with pytest.raises(UsageError) as told:
        load(AETHER_PROFILE="producton")
    assert told.value.hint == "did you mean 'production'?"
    with pytest.raises(UsageError) as told:
        load(profile="qqq")
    assert told.value.hint == "known: production, dev"


@pytest.mark.parametrize(
    ("variable", "text", "key", "message"),
    [
        ("AETHER_CONCURRENCY", "x", "concurrency.attempts", "AETHER_CONCURRENCY is 'x', not a whole number of at least 1"),
        ("AETHER_CONCURRENCY", "0", "concurrency.attempts", "AETHER_CONCURRENCY is '0', not a whole number of at least 1"),
        ("AETHER_CONCURRENCY", "9" * 30, "concurrency.attempts", None),
        ("AETHER_STORE_DURABILITY", "fulll", "store.durability", None),
        ("AETHER_DEBUG", "maybe", "logging.debug", "AETHER_DEBUG is 'maybe', not true or false"),
        ("AETHER_STORE", "sqlite://u:pw@h/x", "store.url", "AETHER_STORE is 'sqlite://u:***@h/x', not the URL of a store"),
        ("AETHER_LIBRARY", os.pathsep, "library.paths", ""),
    ],
)
def test_a_faulty_variable_is_named_where_it_is_asked_for(
    variable: str, text: str, key: str, message: str | None, load: Load
) -> None:
    configuration = load(**{variable: text})
    assert configuration.value("limits.nesting") == 200  # others are not concerned
    if message == "":
        assert configuration.value(key) == []
        return
    with pytest.raises(UsageError) as told:
        configuration.value(key)
    assert message in (None, told.value.message)
    assert variable in told.value.message


@pytest.mark.parametrize("text", ["1", "true", "YES", "on"])
def test_yes_and_no_of_a_variable(text: str, load: Load) -> None:
    assert load(AETHER_DEBUG=text).logging.debug is True
    assert load(AETHER_DEBUG="0").logging.debug is False
    assert said(load(AETHER_DEBUG=""), "logging.debug") == (False, "default")


# --- what is refused ---


def test_what_is_not_a_file_is_refused(load: Load, tmp_path: Path) -> None:
    path = tmp_path / "project" / "aether.toml"
    path.mkdir()
    with pytest.raises(UsageError, match="is a folder"):
        load()
    path.rmdir()
    os.mkfifo(path)
    with pytest.raises(UsageError, match="is not a file"):
        load()
    path.unlink()
    path.symlink_to("nowhere")
    with pytest.raises(UsageError, match="is a link that leads nowhere"):
        load()


def test_a_link_counts_where_it_lies(load: Load, write: Write, tmp_path: Path) -> None:
    real = write("elsewhere/shared.toml", "[workspaces]\npath = 'w'\n")
    (tmp_path / "project" / "aether.toml").symlink_to(real)
    assert load().workspaces.path == str(tmp_path / "project" / "w")


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="files can be given to another user by root alone")


@as_root
@pytest.mark.parametrize("what", ["file", "folder", "link", "pyproject", "user file"])
def test_files_and_folders_of_another_user_are_refused(what: str, load: Load, write: Write, tmp_path: Path) -> None:
    name = {"pyproject": "project/pyproject.toml", "user file": "home/.config/aether/aether.toml"}.get(
        what, "project/aether.toml"
    )
    path = write(name, "[tool.aether.limits]\nbytes = 1\n" if what == "pyproject" else "[limits]\nbytes = 1\n")
    assert load().limits.bytes == 1
    if what == "link":
        real = write("mine.toml", path.read_text())
        path.unlink()
        path.symlink_to(real)
        os.lchown(path, 12345, -1)
    else:
        os.chown(path.parent if what == "folder" else path, 12345, -1)
    with pytest.raises(UsageError, match=r"is not used: it or its folder belongs to user 12345") as told:
        load()
    assert "AETHER_CONFIG" in (told.value.hint or "")
    assert load(AETHER_CONFIG=str(path)).limits.bytes == 1  # named is trusted


@as_root
def test_sudo_reads_the_files_of_the_user_who_called_it(
    load: Load, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.chown(write("project/aether.toml", "[limits]\nbytes = 1\n"), 12345, -1)
    monkeypatch.setenv("SUDO_UID", "12345")
    assert load().limits.bytes == 1
    monkeypatch.setenv("SUDO_UID", "54321")
    with pytest.raises(UsageError, match="is not used"):
        load()


# --- the digest ---


def test_the_digest_tells_what_holds_and_no_password(load: Load, write: Write) -> None:
    plain = load().digest
    assert plain == load().digest
    assert len(plain) == 64
    write("project/aether.toml", "[limits]\nbytes = 10_485_760\n")
    assert load().digest == plain  # the same value from elsewhere
    write("project/aether.toml", "[executors.http]\nenabled = false\n")
    other = load().digest
    assert other != plain
    one, two = (load(AETHER_STORE=f"x://u:{password}@h/d").digest for password in ("a", "b"))
    assert one == two != other


# --- the table ---


def test_every_setting_is_documented_and_no_variable_stands_twice() -> None:
    rows = settings().values()
    assert [row.key for row in rows if not row.text.endswith(".") or not row.wanted] == []
    variables = [row.variable for row in rows if row.variable]
    assert len(set(variables)) == len(variables)
    assert [name for name in variables if not name.startswith("AETHER_") or name.startswith("AETHER_SECRET_")] == []


def test_defaults_are_what_holds_without_a_configuration() -> None:
    from aether_protocol.documents.source import DEFAULT

    rows = settings()
    assert {name: rows[f"limits.{name}"].default for name in DEFAULT.__struct_fields__} == {
        name: getattr(DEFAULT, name) for name in DEFAULT.__struct_fields__
    }
