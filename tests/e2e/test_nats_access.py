"""Who may connect to NATS, and what becomes of those who cannot yet: TLS, certificates, keys, servers that are away."""

from __future__ import annotations

import base64
import binascii
import datetime
import ipaddress
import json
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from aether_protocol.adapters.brokers.nats.address import read_nats_url
from aether_protocol.adapters.brokers.nats.reach import NatsAwayError, require_reachable
from aether_protocol.errors import PortError, UsageError
from tests.e2e.process import AETHER, aether, environment
from tests.e2e.servers import wait_for
from tests.e2e.test_nats import cli_document
from tests.nats_server import NatsServer, needs_server

pytestmark = [pytest.mark.rule("RT-144"), pytest.mark.timeout(300)]  # many commands, one after the other
TASK = {"name": "a", "executor": {"type": "script", "config": {"source": "echo here"}}}


@contextmanager
def serving(folder: Path, *words: str, settings: str = "") -> Iterator[NatsServer]:
    """A NATS server."""
    needs_server()
    file = folder / "nats.conf"
    file.write_text(settings)
    server = NatsServer(folder / "nats", "-c", str(file), *words)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def working(folder: Path, url: str) -> Iterator[Path]:
    """A worker; gives its log."""
    log = folder / "worker.log"
    with log.open("wb") as out:
        worker = subprocess.Popen([*AETHER, "worker", "--broker", url], stderr=out, cwd=folder, env=environment())
    try:
        yield log
    finally:
        worker.kill()
        worker.wait()


def fault_of(url: str) -> PortError:
    """Why a server cannot be used."""
    with pytest.raises(PortError) as caught:
        require_reachable(read_nats_url(url))
    return caught.value


def carries_a_run_out(folder: Path, url: str) -> None:
    """A worker and a run meet there."""
    with working(folder, url) as log:
        done = aether("run", cli_document(folder, TASK), "--broker", url, cwd=folder)
        assert (done.returncode, "here" in done.stderr) == (0, True), done.stderr + log.read_text()


# --- TLS ---


@pytest.fixture
def pem(tmp_path: Path) -> Path:
    """A certificate of 127.0.0.1 that is its own authority, and its key."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "nats")])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (tmp_path / "ca.crt").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (tmp_path / "tls.key").write_bytes(key.private_bytes(*form))
    return tmp_path


def tls_words(pem: Path, *more: str) -> list[str]:
    return ["--tls", "--tlscert", str(pem / "ca.crt"), "--tlskey", str(pem / "tls.key"), *more]


def test_a_server_that_speaks_tls_alone_is_used_and_checks_the_password(pem: Path) -> None:
    with serving(pem, *tls_words(pem, "--user", "u", "--pass", "p@ss:w")) as server:
        at, ca = f"127.0.0.1:{server.port}", f"?ca={pem / 'ca.crt'}"
        for url, reason in (
            (f"nats://u:no@{at}{ca}", "refuses: authorization violation"),
            (f"nats://{at}{ca}", "refuses: authorization violation"),
            (f"nats://u:p%40ss%3Aw@{at}", "cannot be used by TLS: self"),
        ):
            for words in (["run", str(cli_document(pem, TASK)), "--broker"], ["worker", "--broker"]):
                done = aether(*words, url, cwd=pem)
                assert (done.returncode, reason in done.stderr) == (9, True), done.stderr
                assert "p%40ss" not in done.stderr
        carries_a_run_out(pem, f"nats://u:p%40ss%3Aw@{at}{ca}")


def test_a_client_shows_the_certificate_that_a_server_wants(pem: Path) -> None:
    with serving(pem, *tls_words(pem, "--tlsverify", "--tlscacert", str(pem / "ca.crt"))) as server:
        url = f"{server.url}?ca={pem / 'ca.crt'}"
        assert "&key=FILE" in (fault_of(url).hint or "")
        carries_a_run_out(pem, f"{url}&cert={pem / 'ca.crt'}&key={pem / 'tls.key'}")


@pytest.mark.parametrize("option", ["ca={0}/none.crt", "ca={0}/tls.key", "cert={0}/tls.key", "credentials={0}/none.creds"])
def test_a_file_that_cannot_be_used_is_named(pem: Path, option: str) -> None:
    url = f"nats://127.0.0.1:9?{option.format(pem)}"
    for words in (["run", str(cli_document(pem, TASK)), "--broker"], ["worker", "--broker"]):
        done = aether(*words, url, cwd=pem)
        assert (done.returncode, str(pem) in done.stderr, "Traceback" in done.stderr) == (2, True, False), done.stderr


# --- keys ---


class Signer:
    """A key of NATS, which gives out JWTs. `kind`: U of a user, A of an account, O of an operator."""

    def __init__(self, kind: str) -> None:
        self._key = ed25519.Ed25519PrivateKey.generate()
        self._kind = (ord(kind) - ord("A")) << 3
        raw = serialization.Encoding.Raw
        self.public = text_of(bytes([self._kind]) + self._key.public_key().public_bytes(raw, serialization.PublicFormat.Raw))
        private = self._key.private_bytes(raw, serialization.PrivateFormat.Raw, serialization.NoEncryption())
        self.seed = text_of(bytes([18 << 3 | self._kind >> 5, (self._kind & 31) << 3]) + private)

    def jwt(self, of: Signer, what: dict[str, Any]) -> str:
        """What this one says of another."""
        claims = {"jti": "x", "iat": 1, "iss": self.public, "sub": of.public, "name": "n", "nats": {"version": 2, **what}}
        parts = [web64(json.dumps(one).encode()) for one in ({"typ": "JWT", "alg": "ed25519-nkey"}, claims)]
        return ".".join([*parts, web64(self._key.sign(".".join(parts).encode()))])


def text_of(raw: bytes) -> str:
    return base64.b32encode(raw + binascii.crc_hqx(raw, 0).to_bytes(2, "little")).decode().rstrip("=")


def web64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def test_a_seed_says_who_connects(tmp_path: Path) -> None:
    user, other = Signer("U"), Signer("U")
    (tmp_path / "user.nk").write_text(f"{user.seed}\n")
    (tmp_path / "other.nk").write_text(other.seed)
    settings = f"authorization {{ users: [ {{ nkey: {user.public} }} ] }}"
    with serving(tmp_path, settings=settings) as server:
        assert "refuses: authorization violation" in str(fault_of(server.url))
        assert "refuses: authorization violation" in str(fault_of(f"{server.url}?credentials={tmp_path}/other.nk"))
        carries_a_run_out(tmp_path, f"{server.url}?credentials={tmp_path}/user.nk")


def test_a_credentials_file_of_an_operator_says_who_connects(tmp_path: Path) -> None:
    operator, account, system, user = (Signer(kind) for kind in "OAAU")
    limits = {**dict.fromkeys(("subs", "conn", "data", "payload", "imports", "exports", "leaf"), -1), "wildcards": True}
    stored = {**limits, **dict.fromkeys(("mem_storage", "disk_storage", "streams", "consumer"), -1)}
    given = ((account, stored), (system, limits))
    accounts = [(one, operator.jwt(one, {"type": "account", "limits": what})) for one, what in given]
    settings = f"operator: {operator.jwt(operator, {'type': 'operator'})}\nsystem_account: {system.public}\n"
    known = ", ".join(f"{one.public}: {jwt}" for one, jwt in accounts)
    settings += f"resolver: MEMORY\nresolver_preload: {{ {known} }}\n"
    jwt = account.jwt(user, {"type": "user", "subs": -1, "data": -1, "payload": -1})
    (tmp_path / "user.creds").write_text(
        f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n*** IMPORTANT ***\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{user.seed}\n------END USER NKEY SEED------\n"
    )
    with serving(tmp_path, settings=settings) as server:
        assert "?credentials=FILE" in (fault_of(server.url).hint or "")
        carries_a_run_out(tmp_path, f"{server.url}?credentials={tmp_path}/user.creds")


@pytest.mark.parametrize("text", ["", "no seed", "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VX"])
def test_a_file_without_a_key_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "user.creds").write_text(text)
    with pytest.raises(UsageError, match="it holds no key of a user"):
        require_reachable(read_nats_url(f"nats://127.0.0.1:9?credentials={tmp_path}/user.creds"))


# --- servers that are away ---


def test_a_worker_waits_for_a_server_that_is_not_there_yet(tmp_path: Path) -> None:
    needs_server()
    server = NatsServer(tmp_path / "nats")
    with pytest.raises(NatsAwayError):
        require_reachable(read_nats_url(server.url))
    try:
        with working(tmp_path, server.url) as log:
            wait_for(lambda: "it is tried again" in log.read_text())
            server.start()
            done = aether("run", cli_document(tmp_path, TASK), "--broker", server.url, cwd=tmp_path)
            assert (done.returncode, "here" in done.stderr) == (0, True), done.stderr + log.read_text()
            assert log.read_text().count("it is tried again") == 1
    finally:
        server.stop()


class Mute:
    """What answers the first connection as a NATS server does, and none after it."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"nats://127.0.0.1:{self._listening.getsockname()[1]}"
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        kept = []
        while True:
            one, _ = self._listening.accept()
            kept.append(one)
            self.connections += 1
            if self.connections == 1:
                one.sendall(b'INFO {"server_id": "x", "jetstream": true}\r\n')
                one.recv(4096)
                one.sendall(b"PONG\r\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("command", ["run", "worker"])
def test_a_signal_while_the_connection_is_made_ends_it(tmp_path: Path, command: str, number: signal.Signals) -> None:
    mute = Mute()
    words = ["run", str(cli_document(tmp_path, TASK))] if command == "run" else ["worker"]
    process = subprocess.Popen(
        [*AETHER, *words, "--broker", mute.url], env=environment(), stderr=subprocess.PIPE, text=True, cwd=tmp_path
    )
    try:
        wait_for(lambda: mute.connections >= 2)
        process.send_signal(number)
        _, err = process.communicate(timeout=15)
        assert (process.returncode == 0, "Traceback" in err) == (command == "worker", False), err
    finally:
        process.kill()
        process.wait()


def test_what_connects_and_never_answers_is_reported(tmp_path: Path) -> None:
    mute = Mute()
    log = tmp_path / "err"
    with log.open("wb") as err:
        command = [*AETHER, "run", str(cli_document(tmp_path, TASK)), "--broker", mute.url]
        process = subprocess.Popen(command, env=environment(), stderr=err, cwd=tmp_path)
    try:
        wait_for(lambda: f"NATS at {mute.url[7:]} is away" in log.read_text())
    finally:
        process.kill()
        process.wait()
