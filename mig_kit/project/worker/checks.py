"""Does the project work on the database as it is: system checks and models."""

from .faults import one_line
from .graph import app_config, connection_of


def system_checks(emit, database="default", deploy=False):
    """Return the findings of Django's system checks, silenced ones left out: id, level, message, hint, object."""
    from django.core import checks

    found = checks.run_checks(databases=[database], include_deployment_checks=deploy)
    return [
        {
            "id": each.id or "",
            "level": {10: "debug", 20: "info", 30: "warning", 40: "error", 50: "critical"}.get(each.level, "error"),
            "message": each.msg,
            "hint": each.hint or "",
            "object": str(each.obj) if each.obj is not None else "",
        }
        for each in found
        if not each.is_silenced()
    ]


def model_counts(emit, database="default", apps=None):
    """Query every model of the apps: count, and the first row with all its columns.

    Returns app, model, table, count, first (its primary key as text, never the row itself) and error. An unmanaged
    model without a table is left out: many only carry permissions.
    """
    from django.apps import apps as registry
    from django.db import router, transaction

    connection = connection_of(database)
    configs = [app_config(label) for label in apps] if apps is not None else list(registry.get_app_configs())
    found = []
    relations = None
    for config in configs:
        for model in config.get_models():
            if model._meta.proxy or model._meta.swapped or not router.allow_migrate_model(database, model):
                continue
            if not model._meta.managed:
                if relations is None:
                    relations = connection.introspection.table_names(include_views=True)
                if model._meta.db_table not in relations:
                    continue
            row = {
                "app": config.label,
                "model": model.__name__,
                "table": model._meta.db_table,
                "count": None,
                "first": None,
                "error": None,
            }
            try:
                with transaction.atomic(using=database):
                    rows = model._base_manager.using(database)
                    row["count"] = rows.count()
                    first = rows.order_by("pk").first()
                    row["first"] = None if first is None else str(first.pk)
            except Exception as exc:
                row["error"] = one_line(exc)
            found.append(row)
            emit("counted", app=config.label, model=model.__name__)
    return found
