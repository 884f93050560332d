"""The schema's version: what every command looks at before it reads anything else of a store."""

from pathlib import Path

from raptchat.errors import StoreError
from raptchat.store.connection import APPLICATION_ID, Connection

# How many steps `migrations.STEPS` has: that history is only loaded for a store that is behind it.
NEWEST = 6


def version_of(connection: Connection, newest: int = NEWEST) -> int:
    """How many steps made the store, 0 for an empty file; `StoreError` for a newer one and for one not ours."""
    row = connection.row(
        "SELECT user_version, application_id, (SELECT count(*) FROM sqlite_schema) AS tables"
        " FROM pragma_user_version, pragma_application_id"
    )
    assert row is not None  # each of these has one row
    version, application, tables = row["user_version"], row["application_id"], row["tables"]
    if application != APPLICATION_ID and (tables or version or application):
        raise StoreError(
            f"`{connection.path}` is a database, but no store of raptchat", hint="name another with --store"
        )
    if version > newest:
        raise StoreError(
            f"the store `{connection.path}` was made by a newer raptchat (its version {version}, "
            f"known here: {newest})",
            hint="upgrade raptchat; the file was not touched",
        )
    return int(version)


def upgrade_lock(store: Path) -> Path:
    """The file beside *store* that is locked, and there, while a process upgrades it."""
    return Path(f"{store}.upgrade-lock")
