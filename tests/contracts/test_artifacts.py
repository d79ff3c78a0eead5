"""The repositories that come with the package keep the ArtifactRepository contract (ART-1)."""

from __future__ import annotations

from pathlib import Path

import pytest

from aether_protocol.adapters.artifacts.repository import LocalRepository
from aether_protocol.testing.contracts.artifacts import ArtifactRepositoryContract

pytestmark = pytest.mark.rule("ART-1")


class TestLocal(ArtifactRepositoryContract):
    def make(self, folder: Path) -> LocalRepository:
        return LocalRepository(folder)
