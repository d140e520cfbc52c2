"""Does the admin work: its pages asked for as a temporary superuser, in transactions that are rolled back."""

import uuid
import warnings
from contextlib import ExitStack, contextmanager

from .faults import one_line
from .graph import app_config
from .guard import no_writes


def admin_pages(emit, database="default", apps=None):
    """Ask for the admin index and the changelists of the apps' models as a temporary superuser.

    Everything happens in transactions that are rolled back (of the sequences, a number or two stays used up), and
    what would write to a database outside of them is refused; no session, no log-in signal, no mail leaves it.
    Returns ``{"available", "reason", "pages": [{url, what, status, error}]}``.
    """
    from django.apps import apps as registry
    from django.test.utils import override_settings
    from django.urls import NoReverseMatch, reverse

    for label in apps or ():
        app_config(label)
    if not registry.is_installed("django.contrib.admin"):
        return not_available("django.contrib.admin is not installed")
    try:
        index = reverse("admin:index")
    except NoReverseMatch:
        return not_available("the URLconf has no admin")
    from django.test import Client

    urls = [(index, "index"), *changelists(database, apps)]
    pages = []
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        try:
            stack.enter_context(rolled_back(database))
        except Exception as exc:
            return not_available(f"the database cannot be reached: {one_line(exc)}")
        stack.enter_context(
            override_settings(
                ALLOWED_HOSTS=["*"],
                EMAIL_BACKEND="django.core.mail.backends.dummy.EmailBackend",
                SECURE_SSL_REDIRECT=False,
                SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
            )
        )
        client = Client(raise_request_exception=False, HTTP_HOST=host())
        try:
            with muted_signals():
                client.force_login(temporary_superuser())
        except Exception as exc:
            return not_available(f"no temporary superuser could be made: {one_line(exc)}")
        for url, what in urls:
            pages.append(page(client, url, what))
            emit("page", url=url)
    return {"available": True, "reason": "", "pages": pages}


def not_available(reason):
    """Return the answer that there is no admin to look at."""
    return {"available": False, "reason": reason, "pages": []}


def changelists(database, apps):
    """Return (url, model label) of the changelists of the models that lie in this database."""
    from django.contrib import admin
    from django.db import router
    from django.urls import NoReverseMatch, reverse

    found = []
    for model in sorted(admin.site._registry, key=lambda each: each._meta.label_lower):
        label = model._meta.app_label
        if (apps is not None and label not in apps) or not router.allow_migrate_model(database, model):
            continue
        try:
            found.append((reverse(f"admin:{label}_{model._meta.model_name}_changelist"), model._meta.label))
        except NoReverseMatch:
            continue  # an admin of its own without a changelist
    return found


def host():
    """Return a host name that the project answers to."""
    from django.conf import settings

    hosts = [each for each in settings.ALLOWED_HOSTS if each != "*"]
    return hosts[0].lstrip(".") if hosts else "localhost"


def page(client, url, what):
    """Ask for one page; return its status, and what was raised when it was not 200."""
    from django.db import transaction

    error = None
    status = None
    try:
        with transaction.atomic(using=users_database()):
            try:
                response = client.get(url, secure=True)
            finally:
                transaction.set_rollback(True, using=users_database())
        status = response.status_code
        info = getattr(response, "exc_info", None)
        if info:
            error = one_line(info[1])
    except Exception as exc:
        error = one_line(exc)
    return {"url": url, "what": what, "status": status, "error": error}


def users_database():
    """Return the alias of the database that users are written to."""
    from django.contrib.auth import get_user_model
    from django.db import router

    return router.db_for_write(get_user_model())


def temporary_superuser():
    """Create a superuser of the project's own user model, filling in the fields it requires."""
    from django.contrib.auth import get_user_model

    user_model = get_user_model()
    token = uuid.uuid4().hex[:12]
    values = {}  # type: dict[str, object]
    for name in [user_model.USERNAME_FIELD, *user_model.REQUIRED_FIELDS]:
        field = user_model._meta.get_field(name)
        value = filler(field, token)
        if value is not None:
            values[name] = value
    create = getattr(user_model._default_manager, "create_superuser", None)
    if create is not None:
        return create(password=uuid.uuid4().hex, **values)
    concrete = {each.name for each in user_model._meta.fields}
    rights = {name: True for name in ("is_staff", "is_superuser", "is_active") if name in concrete}
    return user_model._default_manager.create(**dict(values, **rights))


def filler(field, token):
    """Return a value that fits a required field, or None to leave it to its default."""
    import datetime

    from django.db import models
    from django.utils import timezone

    if field.is_relation:
        return field.related_model._base_manager.first()
    if isinstance(field, models.EmailField) or "email" in field.name:
        return f"mig-kit-{token}@example.invalid"
    if field.has_default():
        return None
    if field.choices:
        return next(iter(field.flatchoices))[0]
    if isinstance(field, (models.CharField, models.TextField)):
        return f"{token}-mig-kit"[: field.max_length or 40]
    for kind, value in (
        (models.BooleanField, False),
        (models.DateTimeField, timezone.now()),
        (models.DateField, datetime.date(2000, 1, 1)),
        (models.DecimalField, 0),
        (models.FloatField, 0.0),
        (models.IntegerField, int(token[:6], 16)),
        (models.UUIDField, uuid.uuid4()),
    ):
        if isinstance(field, kind):
            return value
    return None


@contextmanager
def rolled_back(database):
    """Roll back at the end what was written to this database and the users', and refuse writes to all others."""
    from django.db import connections, transaction

    inside = sorted({database, users_database()})
    with ExitStack() as stack:
        for alias in inside:
            stack.enter_context(transaction.atomic(using=alias))
            stack.callback(transaction.set_rollback, True, using=alias)
        stack.enter_context(
            no_writes(
                [alias for alias in connections if alias not in inside],
                "An admin page wrote to the database {!r}; that write was refused.",
                "",
                "one database",
            )
        )
        yield


@contextmanager
def muted_signals():
    """Let nobody hear that a user was made and logged in: no welcome mail, no last-login time."""
    from django.contrib.auth.signals import user_logged_in
    from django.db.models.signals import post_save, pre_save

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
