"""A schema editor that writes SQL without asking any database, and the guard that lets nothing reach one meanwhile."""

from contextlib import contextmanager
from threading import get_ident

# Names, definitions and features are taken from what the newest server can, unless its version is given.
NEWEST = 180000


class NeedsDatabase(Exception):
    """Something wanted to ask the database, and there is none here."""


@contextmanager
def no_database():
    """Refuse every query of this thread, to whichever database."""
    from django.db.backends.base.base import BaseDatabaseWrapper

    thread = get_ident()
    kept = {name: getattr(BaseDatabaseWrapper, name) for name in ("connect", "ensure_connection", "_cursor")}

    def refusing(name):
        def method(self, *args, **kwargs):
            if get_ident() == thread:
                raise NeedsDatabase("it asks the database, which is not done here")
            return kept[name](self, *args, **kwargs)

        return method

    for name in kept:
        setattr(BaseDatabaseWrapper, name, refusing(name))
    try:
        yield
    finally:
        for name, method in kept.items():
            setattr(BaseDatabaseWrapper, name, method)


def offline_connection(alias, server_version):
    """Return a wrapper of the alias's own backend that is not, and never gets, connected."""
    from django.db import connections

    connection = connections.create_connection(alias)
    # Features depend on the version, which Django would ask the server for.
    connection.__dict__["pg_version"] = server_version or NEWEST
    return connection


def offline_editor(connection, constraints_of):
    """Return a schema editor that collects SQL and gets the names of constraints from the project's state.

    ``constraints_of(table)``: the table's constraints and indexes (``tables.constraints``) before the operation at
    hand. ``guesses`` gathers those of its answers that may be called otherwise in a database with another history.
    """

    class Editor(connection.SchemaEditorClass):  # type: ignore[name-defined]
        def execute(self, sql, params=()):
            text = str(sql)
            if params is not None:
                text = text % tuple(map(self.quote_value, params))
            self.collected_sql.append(text if text.rstrip().endswith(";") else text + ";")

        def alter_db_table(self, model, old_db_table, new_db_table):
            super().alter_db_table(model, old_db_table, new_db_table)
            self.renamed[new_db_table] = self.renamed.get(old_db_table, old_db_table)

        def _constraint_names(
            self,
            model,
            column_names=None,
            unique=None,
            primary_key=None,
            index=None,
            foreign_key=None,
            check=None,
            type_=None,
            exclude=None,
        ):
            table = model._meta.db_table
            wanted = {"unique": unique, "primary_key": primary_key, "index": index, "check": check, "type": type_}
            found = []
            for each in constraints_of(self.renamed.get(table, table)):
                if column_names is not None and list(column_names) != each["columns"]:
                    continue
                if any(value is not None and each[key] != value for key, value in wanted.items()):
                    continue
                if foreign_key is not None and not each["foreign_key"]:
                    continue
                if exclude and each["name"] in exclude:
                    continue
                found.append(each["name"])
                if each["guess"]:
                    self.guesses.append(dict(each, table=table))
            return found

        def _get_sequence_name(self, table, column):
            if self.collected_sql and "DROP IDENTITY" in self.collected_sql[-1]:
                return None  # gone with it
            return default_name(table, column, "seq")

        def _is_collation_deterministic(self, collation_name):
            return True  # then there is one more index: in doubt rather more than less

    # Not atomic: a transaction would be begun on the real connection.
    editor = Editor(connection, collect_sql=True, atomic=False)
    editor.renamed = {}
    editor.guesses = []
    return editor


def default_name(table, column, kind):
    """Return the name that PostgreSQL itself gives to what goes with a column (makeObjectName, 63 bytes)."""
    table = bare(table)
    room = 63 - len(kind) - 1 - (1 if column else 0)
    first, second = table.encode(), column.encode()
    while len(first) + len(second) > room:
        if len(first) > len(second):
            first = first[:-1]
        else:
            second = second[:-1]
    parts = [first.decode("utf-8", "ignore"), second.decode("utf-8", "ignore"), kind]
    return "_".join(each for each in parts if each)


def bare(table):
    """Return a table's name without quotes and schema: db_table may be ``schema"."table``."""
    return table.strip('"').split('"."')[-1]
