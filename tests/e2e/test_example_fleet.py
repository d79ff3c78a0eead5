"""examples/workflows/many-machines.yaml on workers with homes of their own, as its first lines say."""

from __future__ import annotations

import json
from pathlib import Path

from tests.e2e.process import ROOT, aether
from tests.e2e.servers import served, working

EXAMPLE = ROOT / "examples" / "workflows" / "many-machines.yaml"
TOKEN = "a-token-of-a-registry"


def test_tasks_go_where_they_belong_with_their_file_and_their_secret(tmp_path: Path) -> None:
    machines = {name: tmp_path / name for name in ("disks", "gpus")}
    for home in machines.values():
        (home / "tmp").mkdir(parents=True)
    secrets = tmp_path / "secrets.json"
    secrets.write_text(json.dumps({"registry": {"token": TOKEN}}))

    def env(name: str) -> dict[str, str]:
        home = str(machines[name])
        return {"HOME": home, "TMPDIR": f"{home}/tmp", "XDG_CACHE_HOME": f"{home}/.cache"}

    with served(tmp_path, "--no-workers", "--secrets-file", str(secrets)) as server:
        run = aether("run", EXAMPLE, "--detach", "--server", server.url, cwd=tmp_path).stdout.strip()
        assert "waits for a worker: no worker is connected" in aether("show", run, "--server", server.url).stdout
        with working(server.url, "--label", "disk=large", **env("disks")) as disks:
            disks.connected()
            plain = ("--label", "zone=eu", "--slots", "gpu=1", "--name", "small")
            with working(server.url, *plain, **env("disks")) as small:  # has the label, and too few GPUs
                small.connected()
                gpus = working(server.url, "--label", "zone=eu", "--slots", "gpu=2", **env("gpus"))
                with gpus as large:
                    large.connected()
                    report = server.result(run)
        log = aether("logs", run, "--server", server.url).stdout
    assert (report["phase"], report["outputs"]) == ("Succeeded", {"rows": 3, "model": "trained on 3 rows"})
    assert f"main.collect | collecting in {machines['disks']}\n" in log
    assert f"main.train | training in {machines['gpus']}, as ***\n" in log
    for home in machines.values():
        for file in home.rglob("*"):
            assert not file.is_file() or TOKEN.encode() not in file.read_bytes(), file
    assert TOKEN.encode() not in (tmp_path / "runs.db").read_bytes()
