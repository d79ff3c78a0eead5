"""What commands and workers say of a server that they cannot use: its certificate, its protocol, their token."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.process import aether, read_until
from tests.e2e.servers import served, working
from tests.e2e.test_deploy import make_certificate

TOKEN = "a-token-of-the-test"


def test_clients_and_workers_of_a_server_with_tls_say_what_is_missing(tmp_path: Path) -> None:
    make_certificate(tmp_path)
    (tmp_path / "aether.toml").touch()
    tls = ("--tls-cert", str(tmp_path / "tls.crt"), "--tls-key", str(tmp_path / "tls.key"), "--no-workers", "--token", TOKEN)
    with served(tmp_path, *tls) as server:
        url = server.url.replace("127.0.0.1", "localhost")
        trusted = {"SSL_CERT_FILE": str(tmp_path / "ca.crt")}

        untrusted = aether("ls", "--server", url, AETHER_TOKEN=TOKEN)
        assert untrusted.returncode == 9
        assert "its certificate is not trusted" in untrusted.stderr
        assert "SSL_CERT_FILE" in untrusted.stderr
        with working(url, AETHER_TOKEN=TOKEN) as worker:
            said = read_until(worker.process.stderr, "it is tried again")
            assert "its certificate is not trusted" in said
            assert "SSL_CERT_FILE" in said

        plain = aether("ls", "--server", url.replace("https", "http"), AETHER_TOKEN=TOKEN)
        assert plain.returncode == 9
        assert "does it speak TLS" in plain.stderr

        unknown = aether("ls", "--server", url, **trusted)
        assert unknown.returncode == 2
        assert "this server needs a token" in unknown.stderr
        assert "AETHER_TOKEN" in unknown.stderr
        with working(url, **trusted) as worker:
            code, said = worker.process.wait(60), worker.process.stderr.read() if worker.process.stderr else ""
            assert code == 2, said
            assert "the server refuses: this server needs a token" in said
            assert "AETHER_TOKEN" in said

        assert aether("ls", "--server", url, AETHER_TOKEN=TOKEN, **trusted).returncode == 0


def test_a_worker_with_another_token_or_pool_hears_which_it_needs(tmp_path: Path) -> None:
    store = f"sqlite:{tmp_path}/runs.db"

    def token(*options: str) -> str:
        made = aether("token", "create", "--name", "t", *options, "--store", store, "-q")
        assert made.returncode == 0, made.stderr
        return made.stdout.strip()

    person = token("--role", "admin", "-n", "default")
    pooled = token("--kind", "worker", "-n", "default", "--pool", "gpu")
    with served(tmp_path, "--no-workers") as server:
        for text, options, words in (
            (person, (), "aether token create --kind worker"),
            (pooled, (), "its token is for the pools gpu: --pool NAME"),
            (pooled, ("--pool", "cpu"), "may not join pool 'cpu'"),
        ):
            with working(server.url, *options, AETHER_TOKEN=text) as worker:
                code, said = worker.process.wait(60), worker.process.stderr.read() if worker.process.stderr else ""
                assert code == 2, said
                assert words in said
        audit = aether("audit", "--server", server.url, AETHER_TOKEN=person)
        assert "it is an admin of default" in audit.stderr


def test_a_key_of_another_certificate_is_refused_before_the_server_says_that_it_serves(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    make_certificate(tmp_path)
    make_certificate(other)
    files = ("--tls-cert", str(tmp_path / "tls.crt"), "--tls-key", str(other / "tls.key"))
    done = aether("serve", "--db", "a.db", "--http-port", "0", *files, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "is not the key of the certificate" in done.stderr
    assert "serving" not in done.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--slots", "0"), "one task at a time at least"),
        (("--slots", "tasks=0"), "one task at a time at least"),
        (("--label", "a b=c"), "no task could select 'a b=c'"),
        (("--label", "zone="), "no task could select 'zone='"),
        (("--server", "localhost:7234"), "is not the address of a server"),
    ],
)
def test_what_a_worker_cannot_be_is_wrong_usage(options: tuple[str, ...], words: str) -> None:
    done = aether("worker", "--server", "http://127.0.0.1:1", *options)
    assert done.returncode == 2, done.stderr
    assert words in done.stderr


def test_an_address_without_its_scheme_is_told_how_it_is_written() -> None:
    done = aether("ls", "--server", "localhost:7234")
    assert done.returncode == 2
    assert "http://localhost:7234" in done.stderr
