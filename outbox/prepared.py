"""Statements that PostgreSQL parses and plans once per connection, for what runs many times a second.

The names say the text, and a server connection that does not know one yet is taught it in the same round trip. So it
does not matter if a pooler (PgBouncer in transaction mode, any version) gives each transaction another connection.
"""

import hashlib
from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

from django.db import connection
from psycopg import ClientCursor, Connection, errors
from psycopg.rows import tuple_row

_TRIES = 4  # a pooler may change servers between any two of them
_taught: WeakKeyDictionary[Connection[Any], set[str]] = WeakKeyDictionary()


class Prepared:
    """One statement; its parameters are written `%(name)s`, and `types` gives the type of each."""

    def __init__(self, statement: str, **types: str) -> None:
        """Nothing happens until it is run."""
        digest = hashlib.sha256(statement.encode()).hexdigest()[:16]
        self.names = tuple(types)
        numbers = {name: f"${place}" for place, name in enumerate(types, 1)}
        self._name = f"outbox_{digest}"
        self._prepare = f"PREPARE {self._name} ({', '.join(types.values())}) AS {statement % numbers};"
        self._execute = f"EXECUTE {self._name} ({', '.join(f'%({name})s' for name in types)})"

    def rows(self, params: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Run it and return its rows."""
        connection.close_if_health_check_failed()
        connection.ensure_connection()
        raw: Connection[Any] = connection.connection
        names = _taught.setdefault(raw, set())
        teach = self._name not in names
        names.add(self._name)
        with connection.wrap_database_errors, ClientCursor(raw, row_factory=tuple_row) as cursor:
            for _ in range(_TRIES):
                try:
                    return self._run(cursor, params, teach=teach)
                except errors.DuplicatePreparedStatement:  # a pooler: somebody else taught this server
                    teach = False
                except errors.InvalidSqlStatementName:  # a pooler: another server than last time
                    teach = True
                except errors.FeatureNotSupported:  # a migration changed a column since it was planned
                    cursor.execute(f"DEALLOCATE {self._name}".encode())
                    teach = True
            return self._run(cursor, params, teach=teach)

    def _run(self, cursor: ClientCursor[tuple[Any, ...]], params: Mapping[str, Any], *, teach: bool) -> list[Any]:
        cursor.execute((self._prepare.replace("%", "%%") + self._execute if teach else self._execute), params)
        if teach:
            cursor.nextset()
        return cursor.fetchall()
