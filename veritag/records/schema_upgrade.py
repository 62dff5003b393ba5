"""Upgrade of a database to the schema of this version, by Alembic."""

from importlib.resources import files

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from veritag.errors import ConfigurationError


def upgrade_schema(connection: Connection) -> None:
    """Apply the migrations that the database lacks, within the caller's transaction.

    Raises
    ------
    ConfigurationError
        If another version of Veritag made the database, by a migration that this one
        does not have.
    """
    config = Config()
    location = str(files("veritag.records") / "migrations")
    config.set_main_option("script_location", location)
    _refuse_unknown_revisions(connection, config)
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _refuse_unknown_revisions(connection: Connection, config: Config) -> None:
    scripts = ScriptDirectory.from_config(config).walk_revisions()
    current = MigrationContext.configure(connection).get_current_heads()
    # Compared as a whole: Alembic itself takes "0001" for any revision that so begins.
    unknown = set(current) - {script.revision for script in scripts}
    if unknown:
        url = connection.engine.url.render_as_string(hide_password=True)
        raise ConfigurationError(
            f"the database {url} was made by another version of Veritag (its schema "
            f"revision {', '.join(sorted(unknown))} is not known here); choose an empty "
            "database by VERITAG_DATABASE_URL or an empty folder by VERITAG_DATA_DIR, "
            "or run the version that made it"
        )
