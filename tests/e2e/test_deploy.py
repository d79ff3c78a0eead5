"""What Dockerfile, compose.yaml and the Kubernetes manifests run, without Docker: the commands as they stand there, with the
folders, the port and the name of this machine in place of a container's."""

from __future__ import annotations

import datetime
import json
import re
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from ruamel.yaml import YAML

from tests.documents import script
from tests.e2e.process import AETHER, ROOT, environment
from tests.e2e.servers import wait_for
from tests.postgres import database_url
from tests.server_process import free_port

TOKEN = "a-token-for-tests-0123456789"


def yaml(path: str) -> list[Any]:
    return list(YAML(typ="safe", pure=True).load_all((ROOT / path).read_text("utf-8")))


def container(path: str) -> Mapping[str, Any]:
    """The container of a manifest's Deployment."""
    (found,) = [one for one in yaml(path) if one["kind"] == "Deployment"]
    (made,) = found["spec"]["template"]["spec"]["containers"]
    return dict(made)


def variables(one: Mapping[str, Any]) -> dict[str, str]:
    """The environment of a container; every secret is TOKEN."""
    return {each["name"]: each.get("value", TOKEN) for each in one["env"]}


class Place:
    """Starts commands of containers here."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self.second = free_port(), free_port()
        self.processes: list[subprocess.Popen[str]] = []
        self.said: list[str] = []
        self._listening: list[threading.Thread] = []

    def start(self, arguments: Sequence[str], env: Mapping[str, str]) -> None:
        """Start a command of a container."""
        given = [self._here(one) for one in arguments]
        more = {name: self._here(value) for name, value in env.items()}
        if "--http-port" not in arguments:
            more["AETHER_HTTP_PORT"] = str(self.port)
        process = subprocess.Popen(
            [*AETHER, *given], env=environment(**more), cwd=self.folder, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL, text=True,
        )
        self.processes.append(process)
        self._listening.append(threading.Thread(target=self._listen, args=(process.stderr,)))
        self._listening[-1].start()

    def _here(self, text: str) -> str:
        text = text.replace(":7234", f":{self.port}").replace("//aether:", "//localhost:")
        text = re.sub(r"(^|:)7235$", rf"\g<1>{self.second}", text)
        return re.sub(r"^/(data|tls)/", rf"{self.folder}/\1/", text)

    def _listen(self, stream: Any) -> None:
        with stream:
            self.said.extend(stream)

    def carries_a_run_out(self, scheme: str, verify: Any = True) -> None:
        """Submit a run with the token, wait for its end, and see that no other caller is answered."""
        url = f"{scheme}://localhost:{self.port}"

        def is_ready() -> bool:
            try:
                return httpx.get(f"{url}/readyz", verify=verify, timeout=5).status_code == 200
            except httpx.HTTPError:
                return False

        wait_for(is_ready, 40)
        assert httpx.get(f"{url}/v1/runs", verify=verify).status_code == 401
        with httpx.Client(base_url=url, verify=verify, headers={"authorization": f"Bearer {TOKEN}"}, timeout=60) as client:
            run = client.post("/v1/runs", json={"document": script("echo hello")}).json()["runId"]
            report = client.get(f"/v1/runs/{run}/result?wait=50s").json()
            assert report["phase"] == "Succeeded", (report, self.said)

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
        for listening in self._listening:
            listening.join()


@contextmanager
def place(folder: Path) -> Iterator[Place]:
    (folder / "data").mkdir()
    made = Place(folder)
    try:
        yield made
    finally:
        made.close()


def test_the_image_serves_by_default_and_carries_what_it_needs(tmp_path: Path) -> None:
    text = (ROOT / "Dockerfile").read_text("utf-8")
    entry = json.loads(re.findall(r"^ENTRYPOINT (.*)$", text, re.MULTILINE)[0])
    command = json.loads(re.findall(r"^CMD (.*)$", text, re.MULTILINE)[0])
    assert entry == ["aether"]
    assert command[0] == "serve"
    assert "aether-protocol[server,postgres]" in text
    command = [word.replace("/data", str(tmp_path)) for word in command]
    done = subprocess.run([*AETHER, *command], env=environment(), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2, "a container is reached by others, so it wants a token"
    assert "--token" in done.stderr


def test_compose_runs_two_servers_and_two_workers(tmp_path: Path) -> None:
    (compose,) = yaml("compose.yaml")
    services = dict(compose["services"])
    servers, database = [services.pop(name) for name in ("server", "server-2")], services.pop("db")
    assert database["environment"]["POSTGRES_DB"] == database["environment"]["POSTGRES_USER"] == "aether"
    there = "postgres://aether@db/aether?artifacts=/data/"
    assert all(any(there in word for word in server["command"]) for server in servers)
    assert servers[1]["network_mode"] == "service:server", "and so is that of another server"
    with place(tmp_path) as here:
        url = f"{database_url()}&artifacts={here.folder}/data/"  # the server of the tests in place of that container
        for server in servers:
            here.start([word.replace(there, url) for word in server["command"]], dict.fromkeys(server["environment"], TOKEN))
        assert len(services) == 2
        for worker in services.values():
            assert worker["network_mode"] == "service:server", "an http:// address of another host is refused"
            here.start(worker["command"], dict.fromkeys(worker["environment"], TOKEN))
        wait_for(lambda: sum("connected to" in line for line in here.said) == 2, 40)
        here.carries_a_run_out("http")
        here.port, here.second = here.second, here.port
        here.carries_a_run_out("http")
        answer = httpx.get(f"http://127.0.0.1:{here.port}/v1/servers", headers={"authorization": f"Bearer {TOKEN}"})
        addresses = {f"http://127.0.0.1:{port}" for port in (here.port, here.second)}
        assert {one["address"] for one in answer.json()["servers"]} == addresses


def test_the_manifests_run_a_server_with_tls_and_workers_that_trust_it(tmp_path: Path) -> None:
    server, worker = container("deploy/kubernetes/server.yaml"), container("deploy/kubernetes/workers.yaml")
    assert [server["readinessProbe"]["httpGet"]["path"], server["livenessProbe"]["httpGet"]["path"]] == ["/readyz", "/healthz"]
    (tmp_path / "tls").mkdir()
    make_certificate(tmp_path / "tls")
    with place(tmp_path) as here:
        here.start(server["args"], variables(server))
        here.start(worker["args"], variables(worker))
        wait_for(lambda: any("connected to" in line for line in here.said), 40)
        import ssl

        here.carries_a_run_out("https", ssl.create_default_context(cafile=str(tmp_path / "tls" / "ca.crt")))


def make_certificate(folder: Path) -> None:
    """A certificate for localhost that is its own authority."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    (folder / "tls.crt").write_bytes(pem)
    (folder / "ca.crt").write_bytes(pem)
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "tls.key").write_bytes(key.private_bytes(*form))


