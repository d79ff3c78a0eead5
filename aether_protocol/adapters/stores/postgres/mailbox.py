"""The mailbox of a PostgreSQL store: that of all stores in SQL, with a hint after each question and each answer.

A hint is a statement of its own, after the transaction: what is asked is rare, and an append never waits for one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from aether_protocol.adapters.stores.postgres.dialect import PostgresDialect
from aether_protocol.adapters.stores.postgres.link import Link
from aether_protocol.adapters.stores.postgres.session import StoreSession
from aether_protocol.adapters.stores.sql.leases import SqlMailbox
from aether_protocol.errors import PortError
from aether_protocol.expressions.values import Json


class PostgresMailbox:
    """`ports.store.MailboxStore`."""

    def __init__(self, dialect: PostgresDialect, mailbox: SqlMailbox, session: StoreSession) -> None:
        self._dialect = dialect
        self._mailbox = mailbox
        self._session = session
        self.requests, self.answer, self.withdraw = mailbox.requests, mailbox.answer, mailbox.withdraw

    async def post(self, run_id: str, request: Json) -> int:
        number = await self._mailbox.post(run_id, request)
        await self._hint()
        return number

    async def answered(self, id_: int, answer: Json) -> None:
        await self._mailbox.answered(id_, answer)
        await self._hint()

    async def listen(self, heard: Callable[[], None]) -> Callable[[], None] | None:
        return self._session.listen(heard)

    async def _hint(self) -> None:
        async def notify(link: Link, _: bool) -> None:
            await link.said(f'NOTIFY "{self._session.mail_channel}"')

        with contextlib.suppress(PortError):  # it is a hint
            await self._dialect.connections.insist(notify)
