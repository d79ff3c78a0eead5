"""The files of the dashboard: built of the sources that are here, small, and the same wherever the server is mounted."""

from __future__ import annotations

import gzip
import hashlib
import re
from importlib.resources import files
from pathlib import Path

import pytest
from litestar.testing import TestClient

from aether_protocol.server.app import make_app
from aether_protocol.server.dashboard import pages
from aether_protocol.server.parts import ServerParts
from tests.unit.server.serving import serving

ROOT = Path(__file__).parents[3]
STATIC = files("aether_protocol.server.dashboard").joinpath("static")
MOST_AT_FIRST = 60 * 1024


def test_they_are_built_of_the_sources_that_are_here() -> None:
    web = ROOT / "web"
    names = [file.relative_to(web).as_posix() for file in web.rglob("*") if file.is_file()]
    total = hashlib.sha256()
    for name in sorted(name for name in names if "node_modules" not in name.split("/")):
        total.update(f"{name}\n".encode() + (web / name).read_bytes())
    assert STATIC.joinpath("sources.sha256").read_text().strip() == total.hexdigest(), "build them anew: nox -s dashboard"


def test_what_a_browser_loads_first_is_small() -> None:
    index = STATIC.joinpath("index.html").read_bytes()
    names = re.findall(rb'(?:src|href)="\./assets/([^"]+)"', index)
    assert names
    packed = sum(len(gzip.compress(STATIC.joinpath("assets", name.decode()).read_bytes())) for name in names)
    assert packed + len(index) <= MOST_AT_FIRST


def test_nothing_in_them_names_another_host() -> None:
    known = (b"http://www.w3.org/", b"https://github.com/")  # namespaces of SVG; addresses in messages of a library
    for file in STATIC.joinpath("assets").iterdir():
        hosts = re.findall(rb"https?://[\w./-]*", file.read_bytes())
        assert all(host.startswith(known) for host in hosts), (file.name, hosts)


BASES = [(None, "/"), ("https://a.example/runner", "/runner/"), ("https://a.example", "/")]


@pytest.mark.parametrize(("public", "base"), BASES)
def test_the_page_says_below_which_path_it_is(public: str | None, base: str) -> None:
    with serving(public_url=public) as client:
        for address in ("/", "/runs", "/runs/some-run", "/workers"):
            answer = client.get(address)
            assert answer.status_code == 200, address
            assert f'<base href="{base}"' in answer.text
            assert answer.headers["content-security-policy"] == pages.POLICY
            assert answer.headers["cache-control"] == "no-cache"


def test_files_are_kept_for_ever_and_sent_compressed() -> None:
    with serving() as client:
        name = next(name for name in pages.static_files() if name.endswith(".js"))
        packed = client.get(f"/assets/{name}", headers={"accept-encoding": "gzip"})
        plain = client.get(f"/assets/{name}", headers={"accept-encoding": "identity"})
        assert packed.headers["content-encoding"] == "gzip"
        assert packed.content == plain.content == STATIC.joinpath("assets", name).read_bytes()
        assert "immutable" in plain.headers["cache-control"]
        assert client.get("/assets/nothing.js").status_code == 404
        assert client.get("/assets/..%2findex.html").status_code == 404


def test_an_engine_without_a_client_has_no_pages() -> None:
    with TestClient(make_app(ServerParts())) as client:
        assert client.get("/runs", headers={"host": "localhost"}).status_code == 404
