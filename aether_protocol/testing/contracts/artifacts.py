"""What every artifact repository must keep (the ArtifactRepository port, ART-1).

Law: subclass `ArtifactRepositoryContract` and give `make`; every test here then holds for it.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from aether_protocol.errors import PortError
from aether_protocol.ports.artifacts import ArtifactRepository

CONTENTS = (b"", b"text\n", bytes(range(256)) * 5000)


class ArtifactRepositoryContract:
    """Subclass it as `TestMyRepository`; pytest then collects the tests below."""

    def make(self, folder: Path) -> ArtifactRepository:
        """A repository. Two made for the same `folder` see the same contents."""
        raise AssertionError("a contract needs `make`")

    def _put(self, repository: ArtifactRepository, folder: Path, content: bytes) -> tuple[str, int]:
        (folder / "given").write_bytes(content)
        return repository.put(folder / "given")

    def test_the_digest_is_that_of_the_content(self, tmp_path: Path) -> None:
        repository = self.make(tmp_path / "kept")
        for content in CONTENTS:
            expected = (f"sha256:{hashlib.sha256(content).hexdigest()}", len(content))
            assert self._put(repository, tmp_path, content) == expected
            assert self._put(repository, tmp_path, content) == expected

    def test_contents_come_back_in_folders_not_yet_there_and_over_files(self, tmp_path: Path) -> None:
        repository = self.make(tmp_path / "kept")
        for content in CONTENTS:
            digest, _ = self._put(repository, tmp_path, content)
            repository.get(digest, tmp_path / "deep" / "er" / "got")
            assert (tmp_path / "deep" / "er" / "got").read_bytes() == content

    def test_what_is_kept_stays_whatever_becomes_of_the_files(self, tmp_path: Path) -> None:
        digest, _ = self._put(self.make(tmp_path / "kept"), tmp_path, b"before")
        (tmp_path / "given").write_bytes(b"after")
        self.make(tmp_path / "kept").get(digest, tmp_path / "got")
        (tmp_path / "got").write_bytes(b"changed by a task")
        self.make(tmp_path / "kept").get(digest, tmp_path / "again")
        assert (tmp_path / "again").read_bytes() == b"before"

    def test_unknown_digests_are_port_errors_and_leave_the_target(self, tmp_path: Path) -> None:
        repository = self.make(tmp_path / "kept")
        (tmp_path / "target").write_bytes(b"before")
        for digest in ("sha256:" + "0" * 64, "sha256:../../etc/passwd", "", "md5:" + "0" * 32):
            try:
                repository.get(digest, tmp_path / "target")
            except PortError:
                assert (tmp_path / "target").read_bytes() == b"before"
            else:
                raise AssertionError(f"{digest!r} must be a PortError")

    def test_a_missing_file_is_a_port_error(self, tmp_path: Path) -> None:
        try:
            self.make(tmp_path / "kept").put(tmp_path / "missing")
        except PortError:
            return
        raise AssertionError("a missing file must be a PortError")

    def test_threads_may_share_it(self, tmp_path: Path) -> None:
        repository = self.make(tmp_path / "kept")
        (tmp_path / "given").write_bytes(CONTENTS[2])

        def once(number: int) -> bytes:
            digest, _ = repository.put(tmp_path / "given")
            repository.get(digest, tmp_path / f"got{number}")
            return (tmp_path / f"got{number}").read_bytes()

        with ThreadPoolExecutor(4) as pool:
            assert set(pool.map(once, range(8))) == {CONTENTS[2]}
