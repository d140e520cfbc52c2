"""What the project's state says of tables: columns, indexes, constraints, under the names that Django gives them."""

from .offline import default_name


def models_by_table(state):
    """Return db_table → model for every table that Django itself keeps, through tables included."""
    found = {}
    for model in state.apps.get_models(include_auto_created=True):
        meta = model._meta
        if meta.managed and not meta.proxy and not meta.swapped:
            found[meta.db_table] = model
    return found


def label(db_table):
    """Return a table's name as PostgreSQL has it, ``schema.table`` where db_table holds a schema."""
    return db_table.strip('"').replace('"."', ".")


def table_data(model, editor):
    """Return a table: its columns, indexes, checks and foreign keys."""
    listed = constraints(model, editor)
    return {
        "label": label(model._meta.db_table),
        "model": model._meta.label,
        "columns": columns(model, editor),
        "indexes": [
            {
                "name": each["name"],
                "columns": each["columns"] + [name for name in each["reads"] if name not in each["columns"]],
                "keys": each["columns"],
                "unique": each["unique"],
                "primary": each["primary_key"],
                "expression": each["expression"],
                "partial": each["partial"],
                "constraint": each["name"] if each["backs"] else None,
                "definition": each["definition"],
            }
            for each in listed
            if each["index"] or each["backs"]
        ],
        "checks": [
            {"name": each["name"], "columns": each["reads"], "definition": each["definition"]}
            for each in listed
            if each["check"]
        ],
        "foreign_keys": [
            {
                "name": each["name"],
                "columns": each["columns"],
                "parent": label(each["foreign_key"][0]),
                "parent_columns": [each["foreign_key"][1]],
            }
            for each in listed
            if each["foreign_key"]
        ],
    }


def columns(model, editor):
    """Return the columns as plain data, with the types that Django gives them."""
    connection = editor.connection
    found = []
    for field in model._meta.local_fields:
        parameters = field.db_parameters(connection=connection)
        kind = parameters["type"]
        if field.column is None or kind is None:
            continue
        suffix = (field.db_type_suffix(connection=connection) or "").upper()
        generated = ""
        if getattr(field, "generated", False):
            generated = "stored" if field.db_persist else "virtual"
        found.append(
            {
                "name": field.column,
                "type": {"serial": "integer", "bigserial": "bigint", "smallserial": "smallint"}.get(kind, kind),
                "not_null": not field.null or field.primary_key,
                "default": database_default(field, editor),
                "generated": generated,
                "identity": "IDENTITY" in suffix or "serial" in kind,
                "collation": parameters.get("collation"),
            }
        )
    return found


def database_default(field, editor):
    """Return the default that the database itself keeps, as SQL, or None."""
    if not getattr(field, "has_db_default", bool)():
        return None
    try:
        sql, params = editor.db_default_sql(field)
        return sql % tuple(map(editor.quote_value, params))
    except Exception:
        return "?"  # there is one; what it is matters less


def constraints(model, editor):
    """Return the table's constraints and indexes as Django's introspection would, and what else is known of them.

    Each: name, columns (in order; of a foreign key, the one), unique, primary_key, foreign_key ((table, column) or
    None), check, index (one that serves no constraint), type, backs (it is a constraint with an index), reads (columns
    in expressions and conditions), expression, partial, definition, and guess: the name depends on the history.
    """
    meta, connection = model._meta, editor.connection
    table = meta.db_table
    found = []

    def add(name, names, **facts):
        entry = {
            "name": name,
            "columns": list(names),
            "unique": False,
            "primary_key": False,
            "foreign_key": None,
            "check": False,
            "index": False,
            "type": None,
            "backs": False,
            "reads": [],
            "expression": False,
            "partial": False,
            "definition": "",
            "guess": True,
        }
        entry.update(facts)
        found.append(entry)

    keys = [field.column for field in getattr(meta, "pk_fields", [meta.pk]) if field.column is not None]
    add(default_name(table, "", "pkey"), keys, primary_key=True, unique=True, backs=True)
    for field in meta.local_fields:
        kind = field.db_parameters(connection=connection)
        if field.column is None or kind["type"] is None:
            continue
        column = [field.column]
        if field.unique and not field.primary_key:
            add(default_name(table, field.column, "key"), column, unique=True, backs=True)
        if kind["check"]:
            add(
                default_name(table, field.column, "check"),
                column,
                check=True,
                reads=column,
                definition="CHECK ({})".format(kind["check"]),
            )
        for statement in editor._field_indexes_sql(model, field):
            name = str(statement.parts["name"]).strip('"') if hasattr(statement, "parts") else None
            if name:
                add(name, column, index=True, type="idx", definition=str(statement))
        if field.remote_field and getattr(field, "db_constraint", False):
            name = str(editor._fk_constraint_name(model, field, "_fk_%(to_table)s_%(to_column)s")).strip('"')
            to = (field.target_field.model._meta.db_table, field.target_field.column)
            add(name, column, foreign_key=to)
    for fields in meta.unique_together:
        names = [meta.get_field(each).column for each in fields]
        add(editor._create_index_name(table, names, suffix="_uniq"), names, unique=True, backs=True)
    for fields in getattr(meta, "index_together", None) or ():
        names = [meta.get_field(each).column for each in fields]
        add(editor._create_index_name(table, names, suffix="_idx"), names, index=True, type="idx")
    for index in meta.indexes:
        expressions = list(getattr(index, "expressions", None) or ())
        names = [meta.get_field(name).column for name, _order in index.fields_orders]
        reads = read_columns(model, expressions, index.condition, index.include)
        add(
            index.name,
            names,
            index=True,
            type=index.suffix or "idx",
            reads=reads,
            expression=bool(expressions),
            partial=index.condition is not None,
            guess=False,
            definition=text_of(lambda: index.create_sql(model, editor)),  # noqa: B023
        )
    for constraint in meta.constraints:
        add_constraint(add, model, constraint, editor)
    return found


def add_constraint(add, model, constraint, editor):
    """Add one of ``Meta.constraints``."""
    kind = type(constraint).__name__
    fields = [model._meta.get_field(name).column for name in getattr(constraint, "fields", None) or ()]
    condition = getattr(constraint, "condition", None)
    definition = text_of(lambda: constraint.create_sql(model, editor))
    expressions = list(getattr(constraint, "expressions", None) or ())
    if hasattr(constraint, "check") or (kind == "CheckConstraint"):
        reads = read_columns(model, (), condition if condition is not None else getattr(constraint, "check", None))
        add(constraint.name, reads, check=True, reads=reads, guess=False, definition=definition)
        return
    if kind == "ExclusionConstraint":
        expressions = [each[0] for each in expressions]
        reads = read_columns(model, expressions, condition, getattr(constraint, "include", None))
        add(
            constraint.name,
            reads,
            backs=True,
            reads=reads,
            expression=True,
            partial=condition is not None,
            guess=False,
            definition=definition,
        )
        return
    include = getattr(constraint, "include", None)
    nulls = getattr(constraint, "nulls_distinct", None)
    only_index = bool(condition is not None or include or getattr(constraint, "opclasses", None) or expressions)
    add(
        constraint.name,
        fields,
        unique=True,
        index=only_index or nulls is not None,
        type="idx",
        backs=not only_index,
        reads=read_columns(model, expressions, condition, include),
        expression=bool(expressions),
        partial=condition is not None,
        guess=False,
        definition=definition,
    )


def text_of(work):
    """Return what it gives as text; nothing where it gives none or cannot."""
    try:
        found = work()
    except Exception:
        return ""
    return "" if found is None else str(found)


def read_columns(model, expressions=(), condition=None, include=None):
    """Return the columns that expressions and a condition read; every column where that cannot be told."""
    meta = model._meta
    names = set()
    try:
        for each in expressions:
            names |= expression_fields(each)
        if condition is not None:
            names |= condition_fields(condition)
        found = {meta.get_field(name.split("__")[0]).column for name in names if name != "pk"}
        if "pk" in names:
            found.add(meta.pk.column)
        found |= {meta.get_field(name).column for name in include or ()}
    except Exception:
        return [field.column for field in meta.local_fields if field.column is not None]
    return sorted(each for each in found if each is not None)


def expression_fields(expression):
    """Return the names of the fields that an expression reads."""
    from django.db.models import F, Q

    if isinstance(expression, str):
        return {expression.lstrip("-")}
    if isinstance(expression, F):
        return {expression.name}
    if isinstance(expression, Q):
        return condition_fields(expression)
    if not hasattr(expression, "get_source_expressions"):
        raise ValueError("what this expression reads is not known")
    if type(expression).__name__ == "RawSQL":
        raise ValueError("raw SQL")
    found = set()
    for each in expression.get_source_expressions():
        if each is not None:
            found |= expression_fields(each)
    return found


def condition_fields(condition):
    """Return the names of the fields that a Q reads."""
    from django.db.models import Q

    if not isinstance(condition, Q):
        return expression_fields(condition)
    found = set()
    for child in condition.children:
        if isinstance(child, tuple):
            found.add(child[0])
            if hasattr(child[1], "get_source_expressions") or type(child[1]).__name__ == "F":
                found |= expression_fields(child[1])
        else:
            found |= condition_fields(child)
    return found
