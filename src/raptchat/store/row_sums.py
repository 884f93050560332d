"""A sum of every row, so that a change of the file that SQLite does not notice is noticed all the same.

SQLite keeps no checksums of pages: a bit that flips in a text gives another text, and `integrity_check` says ok.
The sums stand in the table `row_sums`. TEMP triggers keep them true, which are made from the schema as it is, on
each connection that writes: no table that is added later can be forgotten, and a program that knows nothing of a
column still sums it up.

BLAKE2b (RFC 7693) of 16 bytes: against chance, not against whoever can change the file.
"""

import hashlib
import json
import sqlite3
import struct
from collections.abc import Collection
from typing import NamedTuple

from raptchat.store.connection import Connection, damaged

# The columns of a table's primary key, and all that are in the file.
Columns = tuple[list[str], list[str]]

_SIZE = 16
# Only an upgrade changes the schema, and sums it up anew.
_SCHEMA: dict[str, Columns] = {"sqlite_schema": (["type", "name"], ["type", "name", "tbl_name", "sql"])}
# Attachments are checked by the SHA-256 that they are kept by, and the days by the lines that they sum up: by the
# schema's trigger a process of before the upgrade adds to them too, which knows nothing of their sums.
_LEFT_OUT = ("row_sums", "attachments", "ai_usage_days")


class DamagedRow(NamedTuple):
    """A row that is not as it was written: its *table* and primary *key*; `None` where none can be read."""

    table: str
    key: str | None


def exist(connection: Connection) -> bool:
    """Whether the store has sums: it has from its fourth version on."""
    return connection.row("SELECT 1 AS one FROM sqlite_schema WHERE name = 'row_sums'") is not None


def keep_true(connection: Connection) -> None:
    """Make the triggers with which this connection sums up each row that it writes."""
    script = []
    for table, columns in _tables(connection).items():
        body = {
            "INSERT": _note(table, columns),
            "UPDATE": _forget(table, columns) + _note(table, columns),
            "DELETE": _forget(table, columns),
        }
        script += [
            f"CREATE TEMP TRIGGER {_name(f'{table} after {event}')} AFTER {event} ON main.{_name(table)}"
            f" BEGIN {statements} END;"
            for event, statements in body.items()
        ]
    _register(connection)
    with connection.errors():
        # Outside of any transaction, which `executescript` would commit, and a rollback would undo.
        connection.raw.executescript("".join(script))


def tables(connection: Connection) -> Collection[str]:
    """The tables whose rows have sums."""
    return _tables(connection).keys()


def renew(connection: Connection, *, damaged: list[DamagedRow], but: Collection[str] = ()) -> None:
    """Sum up all rows *but* those of some tables, in the caller's transaction; the *damaged* ones stay so."""
    _register(connection)
    connection.execute(
        "DELETE FROM row_sums WHERE table_name NOT IN (SELECT value FROM json_each(?))", (json.dumps([*but]),)
    )
    for table, columns in _summed(connection, but).items():
        # In the order of the keys, so that each page is written once.
        connection.execute(
            f"INSERT INTO row_sums SELECT {_text(table)}, {_key(columns, 'one')} AS key, {_sum(columns, 'one')}"
            f" FROM {_name(table)} AS one WHERE true ORDER BY key ON CONFLICT DO NOTHING"
        )
    for row in damaged:
        if row.key is not None:
            connection.execute(
                "INSERT OR REPLACE INTO row_sums VALUES (?, ?, zeroblob(?))", (row.table, row.key, _SIZE)
            )


def damaged_rows(connection: Connection, *, but: Collection[str] = ()) -> list[DamagedRow]:
    """The rows whose sum is another one, those without a sum, and the sums without a row; *but* of some tables."""
    _register(connection)
    found = []
    for table, columns in _summed(connection, but).items():
        # The table itself is read, not an index, which may hold what the table does not.
        rows = f"{_name(table)} AS one NOT INDEXED"
        key = _key(columns, "one")
        sums = f"FROM row_sums WHERE table_name = {_text(table)}"
        try:
            keys = connection.raw.execute(
                f"SELECT CAST({key} AS BLOB) FROM {rows} WHERE {_sum(columns, 'one')}"
                f" IS NOT (SELECT sum {sums} AND key = {key})"
                f" UNION SELECT CAST(key AS BLOB) {sums} AND key NOT IN (SELECT {key} FROM {rows})"
            ).fetchall()
        except (sqlite3.Error, UnicodeDecodeError):
            found.append(DamagedRow(table, None))
        else:
            found += [DamagedRow(table, None if key is None else key.decode(errors="replace")) for (key,) in keys]
    return found


def _register(connection: Connection) -> None:
    with connection.errors():
        connection.raw.create_function("row_sum", -1, _row_sum, deterministic=True)


def _row_sum(names: str, *values: bytes | None) -> bytes:
    """The sum of a row's columns: their names, with a space between, and their values as bytes.

    What is NULL is left out: a column that is added later changes no sum while nothing is in it. Types are not
    summed up, for `integrity_check` sees to those of a STRICT table.
    """
    digest = hashlib.blake2b(digest_size=_SIZE)
    for name, value in zip(names.split(" "), values, strict=True):
        if value is not None:
            digest.update(struct.pack(">QQ", len(name), len(value)) + name.encode())
            digest.update(value)
    return digest.digest()


def _summed(connection: Connection, but: Collection[str]) -> dict[str, Columns]:
    found = {**_tables(connection), **_SCHEMA}
    return {table: columns for table, columns in found.items() if table not in but}


def _tables(connection: Connection) -> dict[str, Columns]:
    found: dict[str, Columns] = {}
    with connection.errors():
        # Not the search index, the tables that it keeps (`messages_fts_data` and others), nor SQLite's own; of the
        # generated columns those that are stored (3).
        rows = connection.raw.execute(
            "SELECT CAST(one.name AS TEXT), columns.name, columns.pk"
            " FROM sqlite_schema AS one JOIN pragma_table_xinfo(one.name) AS columns"
            " WHERE one.type = 'table' AND one.name NOT GLOB 'sqlite_*' AND columns.hidden IN (0, 3)"
            " AND NOT EXISTS (SELECT 1 FROM sqlite_schema"
            " WHERE sql GLOB 'CREATE VIRTUAL TABLE *' AND one.name GLOB name || '*')"
            " ORDER BY one.name, columns.name"
        ).fetchall()
    for table, column, number_in_key in rows:
        if table not in _LEFT_OUT:
            key, columns = found.setdefault(table, ([], []))
            columns.append(column)
            if number_in_key:
                key.append(column)
    # Each table of raptchat has one: without it, a row could not be told from another.
    if not all(key for key, _ in found.values()):
        raise damaged(connection.path)
    return found


def _note(table: str, columns: Columns) -> str:
    # REPLACE: where a row was lost, its sum is still there.
    return f"INSERT OR REPLACE INTO row_sums VALUES({_text(table)},{_key(columns, 'new')},{_sum(columns, 'new')});"


def _forget(table: str, columns: Columns) -> str:
    return f"DELETE FROM row_sums WHERE table_name={_text(table)} AND key={_key(columns, 'old')};"


def _key(columns: Columns, row: str) -> str:
    return " || ' ' || ".join(f"quote({row}.{_name(column)})" for column in columns[0])


def _sum(columns: Columns, row: str) -> str:
    # As bytes: a text that a flipped bit has made invalid UTF-8 could not be handed to Python.
    values = ",".join(f"CAST({row}.{_name(column)} AS BLOB)" for column in columns[1])
    return f"row_sum({_text(' '.join(columns[1]))},{values})"


def _name(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
