"""The SQLite store keeps the Store contract, in a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from aether_protocol.adapters.stores.sqlite import open_sqlite
from aether_protocol.ports.store import Store
from aether_protocol.testing.contracts.store import StoreContract


class TestSqliteStore(StoreContract):
    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path) -> None:
        self.path = tmp_path

    def make(self) -> Store:
        return open_sqlite(str(self.path / "new" / "aether.db"))
