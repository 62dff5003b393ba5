"""Column types of the records: ids, moments, vectors and words of an enum."""

import struct
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    DateTime,
    Dialect,
    Enum,
    Integer,
    LargeBinary,
    TypeDecorator,
)

# SQLite gives 64-bit row ids only to columns declared as INTEGER.
Id = BigInteger().with_variant(Integer(), "sqlite")


class Moment(TypeDecorator[datetime]):
    """A time-zone aware moment; SQLite stores it as naive UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """Refuse naive datetimes, and convert others to UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a moment without time zone")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(
        self, value: datetime | None, dialect: Dialect
    ) -> datetime | None:
        """Return an aware datetime in UTC."""
        if value is None:
            return None
        if dialect.name == "sqlite":
            return value.replace(tzinfo=UTC)
        return value.astimezone(UTC)


class Floats(TypeDecorator[tuple[float, ...]]):
    """A short vector of numbers as packed 32-bit floats, little-endian."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(
        self,
        value: tuple[float, ...] | None,
        dialect: Dialect,  # noqa: ARG002
    ) -> bytes | None:
        """Pack the numbers."""
        return None if value is None else struct.pack(f"<{len(value)}f", *value)

    def process_result_value(
        self,
        value: bytes | None,
        dialect: Dialect,  # noqa: ARG002
    ) -> tuple[float, ...] | None:
        """Unpack the numbers."""
        return None if value is None else struct.unpack(f"<{len(value) // 4}f", value)


def word(words: type[StrEnum], length: int = 16) -> Enum:
    """Return the type of a column that stores the value of an enum's member."""
    return Enum(
        words,
        # A native enum of PostgreSQL would need a migration for each new word.
        native_enum=False,
        length=length,
        values_callable=lambda members: [member.value for member in members],
    )
