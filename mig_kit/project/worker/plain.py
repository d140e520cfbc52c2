"""Operations and fields as plain data."""

import django


def operation_list(migration, state, connection):
    """Return a migration's operations as plain data and move ``state`` on past each of them."""
    found = []
    for operation in migration.operations:
        found.append(operation_data(operation, migration.app_label, state, connection))
        operation.state_forwards(migration.app_label, state)
    return found


def operation_data(operation, app_label, state, connection):
    """Return one operation: class, description, symbol, model, field, and the field before and after."""
    model = getattr(operation, "model_name", None) or getattr(operation, "old_name", None)
    if type(operation).__name__ in ("CreateModel", "DeleteModel", "AlterModelTable", "AlterModelOptions"):
        model = operation.name
    if hasattr(operation, "model_name"):
        model = operation.model_name
    name = getattr(operation, "name", None) if hasattr(operation, "model_name") else None
    old_name = getattr(operation, "old_name", None)
    new_name = getattr(operation, "new_name", None)
    before = _state_field(state, app_label, model, name or old_name)
    code, imports = operation_code(operation)
    return {
        "class": type(operation).__name__,
        "describe": operation.describe(),
        "symbol": symbol(operation),
        "app": app_label,
        "model": _display_name(state, app_label, model),
        "field": name if hasattr(operation, "field") or type(operation).__name__ == "RemoveField" else None,
        "name": name,
        "old_name": old_name,
        "new_name": new_name,
        "before": field_data(before, connection, name or old_name),
        "after": field_data(getattr(operation, "field", None), connection, name),
        "table": _table(state, app_label, model, connection),
        "key": _key(state, app_label, model),
        "parts": _parts(operation, state, app_label, before, connection),
        "index": _part(getattr(operation, "index", None)),
        "constraint": _part(getattr(operation, "constraint", None)),
        "code": code,
        "imports": imports,
        "reversible": bool(operation.reversible),
        "reduces_to_sql": bool(operation.reduces_to_sql),
        "elidable": bool(operation.elidable),
        "django": list(django.VERSION[:2]),
    }


def operation_code(operation):
    """Return an operation as Python text and the import lines it needs; (None, []) where it cannot be written."""
    from django.db.migrations.writer import OperationWriter

    try:
        code, imports = OperationWriter(operation, indentation=0).serialize()
    except Exception:  # a custom operation may not be made for it
        return None, []
    return code.rstrip().rstrip(","), sorted(imports)


def _part(part):
    """Return an index or a constraint: class, name, fields and Python text."""
    from django.db.migrations.writer import MigrationWriter

    if part is None or not hasattr(part, "deconstruct"):
        return None
    try:
        code, imports = MigrationWriter.serialize(part)
    except ValueError:
        code, imports = None, []
    return {
        "class": type(part).__name__,
        "name": getattr(part, "name", None),
        "fields": list(getattr(part, "fields", None) or ()),
        "condition": getattr(part, "condition", None) is not None,
        "expressions": bool(getattr(part, "expressions", None)),
        "code": code,
        "imports": sorted(imports),
    }


def _table(state, app_label, model, connection):
    """Return the name of a model's table before the operation; of a model that it creates, None."""
    from django.db.backends.utils import truncate_name

    known = state.models.get((app_label, (model or "").lower()))
    if known is None:
        return None
    table = known.options.get("db_table") or truncate_name(
        f"{app_label}_{known.name.lower()}", connection.ops.max_name_length()
    )
    return table.strip('"').replace('"."', ".")


def _key(state, app_label, model):
    """Return the column that is a model's primary key in a state, None where there is none of its own."""
    known = state.models.get((app_label, (model or "").lower()))
    for name, field in dict(known.fields).items() if known is not None else ():
        if field.primary_key:
            return _column(field, name)
    return None


def _parts(operation, state, app_label, before, connection):
    """Return the constraints and indexes on a column whose type changes (``tables.constraints``); None else.

    None, too, where they cannot be told.
    """
    from .offline import offline_connection, offline_editor
    from .tables import constraints

    if type(operation).__name__ != "AlterField" or before is None or connection.vendor != "postgresql":
        return None
    try:
        if before.db_type(connection) == operation.field.db_type(connection):
            return None
    except Exception:  # a relation: its type is that of its target
        return None
    try:
        model = state.apps.get_model(app_label, operation.model_name)
        editor = offline_editor(offline_connection(connection.alias, None), lambda table: [])
        column = model._meta.get_field(operation.name).column
        return [each for each in constraints(model, editor) if column in each["columns"] + each["reads"]]
    except Exception:
        return None


def symbol(operation):
    """Return ``+ - ~ p s ?`` for the operation's category, as makemigrations prints it."""
    category = getattr(operation, "category", None)  # Django 5.1 and later
    if category is not None:
        return category.value
    name = type(operation).__name__
    for prefix, sign in (("Create", "+"), ("Add", "+"), ("Delete", "-"), ("Remove", "-"), ("Run", "p")):
        if name.startswith(prefix):
            return "s" if name == "RunSQL" else sign
    return "~"


def _display_name(state, app_label, model):
    if not model:
        return None
    known = state.models.get((app_label, model.lower()))
    return known.name if known is not None else model


def _state_field(state, app_label, model, name):
    known = state.models.get((app_label, (model or "").lower()))
    if known is None or not name:
        return None
    return dict(known.fields).get(name)


def field_data(field, connection, name=None):
    """Return a field: class, its keyword arguments as Python text, null, whether it has a default, its column type.

    The column type is None where it cannot be told without a rendered model (relations). ``default_callable``: the
    callable that is its default, by its name.
    """
    if field is None:
        return None
    _name, path, _args, kwargs = field.deconstruct()
    try:
        db_type = None if field.is_relation else field.db_type(connection)
    except Exception:  # a custom field may need a bound model
        db_type = None
    try:
        to = field.remote_field.model if field.is_relation else None
        to = getattr(to, "_meta", to)
        to = getattr(to, "label", to)
    except AttributeError:
        to = None
    return {
        "class": path.rsplit(".", 1)[-1],
        "code": field_code(field),
        "null": bool(field.null),
        "unique": bool(field.unique),
        "has_default": bool(field.has_default()),
        "has_db_default": "db_default" in kwargs,
        "default_callable": _callable_name(field.default),
        "column": _column(field, name),
        "max_length": getattr(field, "max_length", None),
        "max_digits": getattr(field, "max_digits", None),
        "decimal_places": getattr(field, "decimal_places", None),
        "many_to_many": bool(field.many_to_many),
        "primary_key": bool(field.primary_key),
        "to": str(to) if to else None,
        "db_type": db_type,
    }


def field_code(field):
    """Return a field as Python text, as a migration file would write it."""
    from django.db.migrations.writer import MigrationWriter

    try:
        return MigrationWriter.serialize(field)[0]
    except ValueError:  # a default that cannot be written into a migration; makemigrations will say so
        return f"models.{type(field).__name__}(…)"


def _callable_name(default):
    """Return a callable's name with its module, None for a value."""
    from django.db.models import NOT_PROVIDED

    if default is NOT_PROVIDED or not callable(default):
        return None
    name = getattr(default, "__qualname__", type(default).__qualname__)
    module = getattr(default, "__module__", None) or type(default).__module__
    return name if module == "builtins" else f"{module}.{name}"


def _column(field, name):
    """Return the name of a field's column, None where it has none or that is not known."""
    if field.many_to_many or name is None:
        return None
    return field.db_column or (f"{name}_id" if field.is_relation else name)
