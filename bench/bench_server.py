"""What a page of runs costs over HTTP where there are many runs: it must not matter how many.

    python bench/bench_server.py [--runs 1000000] [--pages 200]

Two SQLite stores, of 1 000 runs and of many, filled by bulk inserts; the route GET /v1/runs is asked in process, without a
network, so that nothing hides the store. Pages of 50: the first one, one of a namespace, and one in the middle by its cursor.
The stores take turns, page by page, and the medians are compared.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parent.parent))

import httpx2
from msgspec.structs import replace

from aether_protocol import Engine
from aether_protocol.server import asgi
from aether_protocol.service.wire.runs import cursor
from tests.many_runs import fill, model_of, row_of

LIMIT: Final = 1.5  # times the page at 1 000 runs
FEW: Final = 1_000


async def page_us(client: httpx2.AsyncClient, query: str) -> float:
    began = time.perf_counter()
    answer = await client.get(f"/v1/runs?limit=50{query}")
    took = (time.perf_counter() - began) * 1e6
    assert len(answer.json()["runs"]) == 50, answer.text
    return took


async def measure(folder: Path, many: int, pages: int) -> bool:
    model = await model_of(folder / "model.db")
    sizes, clients, engines = (FEW, many), {}, []
    for size in sizes:
        began = time.perf_counter()
        await fill(folder / f"{size}.db", model, size)
        print(f"{size:>9} runs inserted in {time.perf_counter() - began:.0f} s", file=sys.stderr)
        engine = Engine(store=f"sqlite:{folder / f'{size}.db'}")
        engines.append(await engine.__aenter__())
        transport = httpx2.ASGITransport(app=asgi(engine))
        clients[size] = httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1")
    fine = True
    for name in ("first", "namespace", "middle"):
        took: dict[int, list[float]] = {size: [] for size in sizes}
        for turn in range(pages + 10):
            for size in sizes:
                middle = cursor(replace(model.row, **row_of(size // 2)))
                query = {"first": "", "namespace": "&namespace=n3", "middle": f"&page={middle}"}[name]
                took[size].append(await page_us(clients[size], query))
                if turn < 10:
                    took[size].clear()
        few, lots = (statistics.median(took[size]) for size in sizes)
        fine = fine and lots <= LIMIT * few
        print(f"{name:>10}: {few:6.0f} us at {FEW}, {lots:6.0f} us at {many}: {lots / few:.2f} times (at most {LIMIT})")
    for engine in engines:
        await engine.close()
    return fine


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--pages", type=int, default=200)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        return 0 if asyncio.run(measure(Path(folder), given.runs, given.pages)) else 1


if __name__ == "__main__":
    sys.exit(main())
