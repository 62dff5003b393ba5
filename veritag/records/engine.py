"""The handle on the database: connections, transactions, migrations.

SQLite runs in WAL mode, synchronised at each commit that must survive a power cut.
Writers begin with BEGIN IMMEDIATE, so that two processes queue for the lock and never
fail while upgrading a read lock.
"""

import json
import math
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from sqlalchemy import Connection, Engine, Table, create_engine, event, inspect, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects import sqlite as sqlite_dialect
from sqlalchemy.engine import make_url
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    InterfaceError,
    NoSuchModuleError,
    OperationalError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout

from veritag.errors import ConfigurationError, RecordsUnavailable

SCHEMA_REVISION = "0001_first_schema"
"""The newest of the migrations."""

_WRITE = "veritag_write"
_DURABLE = "veritag_durable"
_WAL_ATTEMPTS = 100
_WAL_WAIT_SECONDS = 0.05
# Any number that no other lock uses: the letters VERI.
_MIGRATION_LOCK = 0x56455249


class Records:
    """The handle on the database of the records."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @classmethod
    def open(cls, url: str) -> Self:
        """Return a handle, without connecting.

        Raises
        ------
        ConfigurationError
            If the URL is none, or not one of SQLite or PostgreSQL.
        """
        try:
            parsed = make_url(url)
        except ArgumentError as error:
            raise ConfigurationError(
                "VERITAG_DATABASE_URL is not a database URL; expected for example "
                "postgresql://user:password@host/veritag"
            ) from error
        if parsed.drivername in {"postgresql", "postgres"}:
            parsed = parsed.set(drivername="postgresql+psycopg")
        if parsed.get_backend_name() not in {"sqlite", "postgresql"}:
            raise ConfigurationError(
                f"VERITAG_DATABASE_URL names {parsed.drivername!r}; "
                "Veritag keeps its records in sqlite or postgresql"
            )
        try:
            engine = create_engine(parsed, json_serializer=_to_json, **_options(parsed))
        except NoSuchModuleError as error:
            raise ConfigurationError(f"VERITAG_DATABASE_URL: {error}") from error
        if parsed.get_backend_name() == "sqlite":
            _prepare_sqlite(engine, parsed.database)
        return cls(engine)

    @contextmanager
    def begin(self, *, durable: bool = True) -> Iterator[Connection]:
        """Run a writing transaction.

        Parameters
        ----------
        durable
            Wait for the disk. Without it a power cut may undo the last transactions,
            which is enough for work that is then repeated.

        Raises
        ------
        RecordsUnavailable
            If the database does not answer; nothing was written.
        """
        with _translated(), self.engine.connect() as connection:
            connection.execution_options(**{_WRITE: True, _DURABLE: durable})
            with connection.begin():
                if not durable and self.engine.dialect.name == "postgresql":
                    connection.execute(text("SET LOCAL synchronous_commit = off"))
                yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Run a reading transaction; raises RecordsUnavailable.

        On SQLite all of its statements see one state. On PostgreSQL (READ COMMITTED)
        each statement sees what was committed when it began.
        """
        with _translated(), self.engine.connect() as connection, connection.begin():
            yield connection

    def insert(self, table: Table) -> Any:
        """Return the INSERT of the dialect, which supports ON CONFLICT."""
        if self.engine.dialect.name == "postgresql":
            return postgresql.insert(table)
        return sqlite_dialect.insert(table)

    def lock_exclusively(self, connection: Connection, lock: int) -> None:
        """Take an advisory lock until the transaction ends, waiting for its holder.

        SQLite needs none: it has one writer at a time.
        """
        if self.engine.dialect.name == "postgresql":
            query = text("SELECT pg_advisory_xact_lock(:key)")
            connection.execute(query, {"key": lock})

    def migrate(self) -> None:
        """Upgrade the schema to this version; processes that start together queue up.

        Raises
        ------
        ConfigurationError
            If another version of Veritag made the database.
        RecordsUnavailable
            If the database does not answer.
        """
        if self._has_this_schema():
            return
        # Alembic takes 8 MB and 0.3 s: most processes start on a finished schema.
        from veritag.records.schema_upgrade import upgrade_schema

        with self.begin() as connection:
            self.lock_exclusively(connection, _MIGRATION_LOCK)
            upgrade_schema(connection)

    def _has_this_schema(self) -> bool:
        with self.read() as connection:
            if not inspect(connection).has_table("alembic_version"):
                return False
            query = text("SELECT version_num FROM alembic_version")
            return connection.execute(query).scalars().all() == [SCHEMA_REVISION]

    def ping(self) -> None:
        """Query the database once; raises RecordsUnavailable."""
        with self.read() as connection:
            connection.execute(text("SELECT 1"))

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        raise RecordsUnavailable(
            f"the database does not answer: {error.orig}"
        ) from error
    except PoolTimeout as error:
        raise RecordsUnavailable("the database is busy: no free connection") from error
    except DBAPIError as error:
        if not error.connection_invalidated:
            raise
        raise RecordsUnavailable(
            f"the connection to the database was lost: {error.orig}"
        ) from error


def _options(url: Any) -> dict[str, Any]:
    if url.get_backend_name() == "sqlite":
        # Seconds that a writer waits for the lock of another process.
        return {"connect_args": {"timeout": 10}}
    return {
        "connect_args": {"connect_timeout": 5},
        # A connection that a restart of the server has ended is replaced before its use.
        "pool_pre_ping": True,
        "pool_size": 4,
        "max_overflow": 4,
        "pool_timeout": 10,
    }


def _prepare_sqlite(engine: Engine, database: str | None) -> None:
    if database:
        Path(database).parent.mkdir(parents=True, exist_ok=True)

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        # The driver's own BEGIN comes too late and cannot be IMMEDIATE.
        connection.isolation_level = None
        _use_wal(connection)
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        options = connection.get_execution_options()
        write = options.get(_WRITE)
        # Before BEGIN: SQLite refuses to change it within a transaction. It stays with
        # the connection, so it is set only where the pooled connection has another one.
        if write and connection.info.get(_DURABLE) != options[_DURABLE]:
            level = "FULL" if options[_DURABLE] else "NORMAL"
            connection.exec_driver_sql(f"PRAGMA synchronous={level}")
            connection.info[_DURABLE] = options[_DURABLE]
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switch a new database to WAL mode, with retries.

    SQLite does not wait for its lock here, whatever the timeout: of processes that open
    a new database together, all but one fail at once because it is locked.
    """
    for attempts_left in reversed(range(_WAL_ATTEMPTS)):
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError:
            if not attempts_left:
                raise
            time.sleep(_WAL_WAIT_SECONDS)
        else:
            return


def clean_text(value: str | None, limit: int = 4096) -> str | None:
    """Return text that every database accepts: no NUL, no lone surrogates, bounded."""
    if value is None:
        return None
    encodable = value.encode("utf-8", "replace").decode("utf-8")
    return encodable.replace("\x00", "")[:limit]


def _to_json(value: Any) -> str:
    """Return JSON that every database accepts, cleaned only where it has to be."""
    try:
        text = json.dumps(value, allow_nan=False)
    except ValueError:
        text = ""
    if text and "\\u0000" not in text and "\\ud" not in text:
        return text
    return json.dumps(_jsonable(value), allow_nan=False)


def _jsonable(value: Any) -> Any:
    """Return a value as JSON can hold it: non-finite numbers as null, clean text."""
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {clean_text(str(key)): _jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_jsonable(item) for item in value]
    return value
