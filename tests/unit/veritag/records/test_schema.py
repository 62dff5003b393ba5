"""The migrated schema."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from veritag.errors import ConfigurationError, RecordsUnavailable
from veritag.records import Records, schema
from veritag.records.engine import SCHEMA_REVISION
from veritag.records.schema import metadata


def test_migrations_make_the_schema_that_the_code_expects(records: Records) -> None:
    """Alembic finds no difference between the migration and the table definitions."""
    with records.read() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, metadata) == []


def test_the_newest_migration_is_the_revision_of_the_code() -> None:
    """A database at `SCHEMA_REVISION` lacks no migration."""
    migrations = Path(schema.__file__).parent / "migrations"
    heads = ScriptDirectory(str(migrations)).get_heads()
    assert heads == [SCHEMA_REVISION]


def test_a_database_of_another_version_is_refused_in_one_sentence(
    records: Records,
) -> None:
    """The error names the database, its revision and the settings to change."""
    with records.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    with pytest.raises(ConfigurationError) as caught:
        records.migrate()
    message = str(caught.value)
    assert str(records.engine.url.database) in message
    assert "revision 0001 is not known here" in message
    assert "VERITAG_DATABASE_URL" in message
    assert "VERITAG_DATA_DIR" in message


def test_processes_that_start_together_may_all_migrate(records_url: str) -> None:
    """Four concurrent migrations of an empty database end without an error."""

    def migrate(_number: int) -> None:
        opened = Records.open(records_url)
        opened.migrate()
        opened.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(migrate, range(4)))


def test_an_unreachable_database_is_an_error_to_retry() -> None:
    """A server that refuses connections raises RecordsUnavailable."""
    records = Records.open("postgresql://nobody:secret@127.0.0.1:1/none")
    with pytest.raises(RecordsUnavailable) as caught:
        records.ping()
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["mysql://host/db", "not a url", "oracle://x"])
def test_a_foreign_database_url_is_refused_with_the_setting_named(url: str) -> None:
    """The error names the variable to change."""
    with pytest.raises(ConfigurationError, match="VERITAG_DATABASE_URL"):
        Records.open(url)
