"""Does the project work on the database as it is: system checks, models, admin pages."""

import warnings
from contextlib import ExitStack

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

    Returns app, model, table, count, first (its primary key as text, never the row itself) and error.
    """
    from django.apps import apps as registry
    from django.db import router, transaction

    connection_of(database)
    configs = [app_config(label) for label in apps] if apps is not None else list(registry.get_app_configs())
    found = []
    for config in configs:
        for model in config.get_models():
            if model._meta.proxy or model._meta.swapped or not router.allow_migrate_model(database, model):
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


def admin_pages(emit, database="default", apps=None):
    """Ask for the admin index and the changelists of the apps' models as a temporary superuser.

    Everything happens in a transaction that is rolled back (of the sequences, a number or two stays used up); no
    session, no log-in signal, no mail leaves it. Returns ``{"available", "reason", "pages": [{url, what, status,
    error}]}``.
    """
    from django.apps import apps as registry
    from django.conf import settings

    if not registry.is_installed("django.contrib.admin"):
        return {"available": False, "reason": "django.contrib.admin is not installed", "pages": []}
    from django.contrib import admin
    from django.db import router
    from django.test import Client
    from django.test.utils import override_settings
    from django.urls import NoReverseMatch, reverse

    try:
        index = reverse("admin:index")
    except NoReverseMatch:
        return {"available": False, "reason": "the URLconf has no admin", "pages": []}
    urls = [(index, "index")]
    for model in sorted(admin.site._registry, key=lambda each: each._meta.label_lower):
        label = model._meta.app_label
        if (apps is not None and label not in apps) or not router.allow_migrate_model(database, model):
            continue
        try:
            urls.append((reverse(f"admin:{label}_{model._meta.model_name}_changelist"), model._meta.label))
        except NoReverseMatch:
            continue  # an admin of its own without a changelist
    hosts = [each for each in settings.ALLOWED_HOSTS if each not in ("*",)]
    host = hosts[0].lstrip(".") if hosts else "localhost"
    pages = []
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        stack.enter_context(rolled_back())
        stack.enter_context(
            override_settings(
                SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
                EMAIL_BACKEND="django.core.mail.backends.dummy.EmailBackend",
                SECURE_SSL_REDIRECT=False,
            )
        )
        client = Client(raise_request_exception=False, HTTP_HOST=host)
        try:
            with muted_signals():
                client.force_login(temporary_superuser())
        except Exception as exc:
            return {"available": False, "reason": f"no temporary superuser: {one_line(exc)}", "pages": []}
        for url, what in urls:
            pages.append(page(client, url, what))
            emit("page", url=url)
    return {"available": True, "reason": "", "pages": pages}


def page(client, url, what):
    """Ask for one page; return its status, and what was raised when it was not 200."""
    from django.db import DEFAULT_DB_ALIAS, transaction

    error = None
    status = None
    try:
        with transaction.atomic(using=DEFAULT_DB_ALIAS):
            response = client.get(url, secure=True)
        status = response.status_code
        info = getattr(response, "exc_info", None)
        if info:
            error = one_line(info[1])
    except Exception as exc:
        error = one_line(exc)
    return {"url": url, "what": what, "status": status, "error": error}


def temporary_superuser():
    """Create a superuser of the project's own user model, filling in the fields it requires."""
    import uuid

    from django.contrib.auth import get_user_model

    user_model = get_user_model()
    token = f"mig-kit-{uuid.uuid4().hex[:12]}"
    values = {}  # type: dict
    for name in [user_model.USERNAME_FIELD] + list(user_model.REQUIRED_FIELDS):
        field = user_model._meta.get_field(name)
        kind = field.get_internal_type()
        if "@" in str(getattr(field, "default_error_messages", "")) or kind == "EmailField" or "email" in name:
            values[name] = token + "@example.invalid"
        elif kind in ("CharField", "SlugField", "TextField"):
            values[name] = token[: field.max_length or 40]
        elif field.has_default() or field.null:
            continue
        elif kind in ("DateField", "DateTimeField"):
            from django.utils import timezone

            values[name] = timezone.now() if kind == "DateTimeField" else timezone.now().date()
        elif "Integer" in kind:
            values[name] = 1
    return user_model._default_manager.create_superuser(password=uuid.uuid4().hex, **values)


def rolled_back():
    """Give a context in which every database's work is rolled back at its end."""
    from contextlib import contextmanager

    from django.db import connections, transaction

    @contextmanager
    def context():
        with ExitStack() as stack:
            for alias in connections:
                if alias == "default" or connections[alias].connection is not None:
                    stack.enter_context(transaction.atomic(using=alias))
                    stack.callback(transaction.set_rollback, True, using=alias)
            yield

    return context()


def muted_signals():
    """Give a context in which nobody hears that somebody logged in or that a user was made."""
    from contextlib import contextmanager

    from django.contrib.auth.signals import user_logged_in
    from django.db.models.signals import post_save, pre_save

    @contextmanager
    def context():
        signals = (user_logged_in, pre_save, post_save)
        kept = [(signal, signal.receivers) for signal in signals]
        try:
            for signal in signals:
                signal.receivers = []
                signal.sender_receivers_cache.clear()
            yield
        finally:
            for signal, receivers in kept:
                signal.receivers = receivers
                signal.sender_receivers_cache.clear()

    return context()
