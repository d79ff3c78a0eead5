"""Brokers by URL: what there is, what has to be installed, and what their workers cannot be given."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from aether_protocol.adapters.brokers.unserved import refusal, too_large, why_not
from aether_protocol.assembly import broker_urls
from aether_protocol.assembly.broker_urls import BrokerKind, check_broker_url, is_remote, shown_broker
from aether_protocol.assembly.configuration.settings import setting_of
from aether_protocol.errors import UsageError
from aether_protocol.plan.model import ArtifactOutput
from aether_protocol.testing.contracts.broker import work
from tests.e2e.process import aether

pytestmark = pytest.mark.rule("RT-144")

DOCUMENT = """
apiVersion: aether/v1
kind: Workflow
metadata: { name: example }
spec:
  entrypoint: main
  templates: [{ dag: { name: main, tasks: [{ name: a, executor: { type: noop } }] } }]
"""


@pytest.fixture
def kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker whose package is not there."""
    kind = BrokerKind("far", ("no_such_package_of_far",), "far://HOST:PORT")
    monkeypatch.setattr(broker_urls, "KINDS", {"far": kind})
    monkeypatch.setattr(broker_urls, "is_installed", lambda family, name: name in ("far", "local"))
    monkeypatch.setattr(broker_urls, "names", lambda family: ["local", "far"])


@pytest.mark.usefixtures("kinds")
def test_what_a_broker_lacks_is_said_with_what_to_install() -> None:
    with pytest.raises(UsageError, match=r"'far://u:\*\*\*@h:1' needs what is not installed: no_such_package_of_far") as caught:
        check_broker_url("far://u:geheim@h:1")
    assert caught.value.hint == "pip install 'aether-protocol[far]'"


@pytest.mark.parametrize("url", ["fra://h", "far", "nowhere:", ""])
@pytest.mark.usefixtures("kinds")
def test_an_unknown_broker_is_refused_with_those_that_there_are(url: str) -> None:
    with pytest.raises(UsageError, match="unknown broker") as caught:
        check_broker_url(url)
    assert "far" in str(caught.value.hint)


@pytest.mark.usefixtures("kinds")
def test_brokers_with_workers_of_their_own_are_not_worked_for() -> None:
    with pytest.raises(UsageError, match="'aether worker' does not work for the broker 'local'"):
        check_broker_url("local", for_worker=True)


@pytest.mark.parametrize(
    ("url", "command"),
    [("celery+redis://h", "`celery -A aether_protocol.celery worker`"), ("dask://h:1", "`dask worker HOST:PORT`")],
)
def test_who_would_work_for_them_hears_what_starts_their_workers(url: str, command: str) -> None:
    with pytest.raises(UsageError) as told:
        check_broker_url(url, for_worker=True)
    assert told.value.hint == f"its workers are started with {command}"


@pytest.mark.usefixtures("kinds")
def test_only_a_broker_elsewhere_is_elsewhere() -> None:
    assert [is_remote(one) for one in ("far://h", "local", None, object())] == [True, False, False, False]
    assert shown_broker("far://u:p@h") == "far://u:***@h"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("nats://geheim@h:1?lease=3", "nats://***@h:1?lease=3"),
        ("nats://u:ge/heim@h", "nats://u:***@h"),
        ("celery+redis://:geheim@h/0", "celery+redis://:***@h/0"),
        ("celery+rediss://h?ssl_password=geheim&queue=a", "celery+rediss://h?ssl_password=***&queue=a"),
        ("postgres://aether@db/runs?sslPassword=geheim", "postgres://aether@db/runs?sslPassword=***"),
        ("dask://h:1?import=a@b", "dask://h:1?import=a@b"),
    ],
)
def test_what_is_shown_of_a_url_holds_no_password_and_no_token(url: str, shown: str) -> None:
    assert shown_broker(url) == shown
    assert setting_of("broker.url").shown(url) == shown


def test_artifacts_need_a_place_that_both_sides_name() -> None:
    plain, gives = work(1), work(2)
    keeps = replace(gives, target=replace(gives.target, artifacts=(ArtifactOutput("out", "out.txt", None, None),)))
    takes = replace(work(3), artifacts={"in": {"digest": "sha256:0"}})
    assert [why_not(one, "folder:///mnt/shared") for one in (plain, keeps, takes)] == [None] * 3
    assert why_not(plain, "") is None
    assert "it keeps artifacts" in str(why_not(keeps, ""))
    assert "it takes artifacts" in str(why_not(takes, ""))
    assert "?artifacts=" in str(why_not(takes, ""))


def test_a_refusal_is_an_error_of_that_attempt_with_the_reason() -> None:
    task = work(1)
    result = refusal(task, too_large(2_000_000, 1_048_576, "NATS"))
    assert (result.ref, result.code) == (task.ref, 3)
    assert "2000000 bytes" in result.message
    assert "NATS takes 1048576" in result.message


def test_run_says_what_is_wrong_with_a_broker_before_anything_runs(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("run")
    (folder / "flow.yaml").write_text(DOCUMENT)
    done = aether("run", "flow.yaml", "--broker", "nowhere://h", cwd=folder)
    assert done.returncode == 2
    assert "unknown broker 'nowhere'" in done.stderr
    assert not (folder / ".aether").exists()
    assert aether("run", "flow.yaml", "--broker", "local", cwd=folder).returncode == 0
