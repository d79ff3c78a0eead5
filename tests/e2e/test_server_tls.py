"""What commands and workers say of a server that they cannot use: its certificate, its protocol, their token."""

from __future__ import annotations

from pathlib import Path

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
