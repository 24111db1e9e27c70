"""How is a webhook delivery kept before it is acknowledged? One row per delivery id; a second one of the same id is known."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from bot.adapters.database import Database, deliveries
from bot.errors import StoreError


class DeliveryStore:
    """Deliveries that were accepted, and whether they have been handled."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def accept(self, guid: str, event: str, payload: Mapping[str, Any], at: datetime) -> bool:
        """Durable when this returns. False when a delivery of this id was accepted before."""
        try:
            with self._database.transaction() as connection:
                connection.execute(
                    insert(deliveries).values(guid=guid[:100], event=event[:60], payload=dict(payload), received_at=at)
                )
        except IntegrityError:
            return False
        return True

    def get(self, guid: str) -> tuple[str, Mapping[str, Any]]:
        """Event and payload."""
        with self._database.reading() as connection:
            row = connection.execute(
                select(deliveries.c.event, deliveries.c.payload).where(deliveries.c.guid == guid[:100])
            ).one_or_none()
        if row is None:
            raise StoreError(
                f"there is no delivery {guid!r}",
                cure="GitHub can send it again: Settings, Webhooks, Recent deliveries.",
            )
        return row.event, row.payload

    def done(self, guid: str, at: datetime) -> None:
        with self._database.transaction() as connection:
            connection.execute(update(deliveries).where(deliveries.c.guid == guid[:100]).values(handled_at=at))

    def forget(self, before: datetime) -> None:
        """Handled ones, after GitHub has long stopped to send them again."""
        with self._database.transaction() as connection:
            connection.execute(delete(deliveries).where(deliveries.c.handled_at < before))

    def waiting(self) -> list[str]:
        """Accepted and not handled: a crash may lie between."""
        with self._database.reading() as connection:
            return list(connection.scalars(select(deliveries.c.guid).where(deliveries.c.handled_at.is_(None))))
