"""The loop: a request in, events and one answer out."""

from importlib import import_module

from . import faults, startup
from .emit import Emit
from .interrupt import Interrupts
from .wire import clean

# What this package uses of the standard library is imported here, before the project's folder comes onto the path:
# a json.py or queue.py of the project's must not take its place.
STANDARD = (
    "ast contextlib difflib io itertools random re runpy threading time traceback types typing uuid warnings weakref"
)
for _name in STANDARD.split():
    import_module(_name)

METHODS = {
    "admin_pages": "admin",
    "describe": "describe",
    "explain_no_changes": "explain",
    "generate": "write",
    "graph": "graph",
    "history": "graph",
    "merge": "write",
    "migrate": "migrate",
    "model_changes": "changes",
    "model_counts": "checks",
    "operations": "graph",
    "plan": "graph",
    "rehearse": "rehearse",
    "replay": "replay",
    "sql": "sql",
    "system_checks": "checks",
    "undo": "undo",
}


def serve(channel, options):
    """Answer requests until the channel closes.

    A request is ``{"id", "method", "args"}``; answers are ``{"id", "event", "data"}`` any number of times, then
    one ``{"id", "result", "watch"}`` or ``{"id", "error"}``. An event with a number ``ack`` waits for a
    ``{"ack", "data"}``. ``watch`` says which files and folders the answer came from, each with its state, so that
    the client can tell when this process is out of date.
    """
    startup.detach()
    interrupts = Interrupts(channel)
    try:
        with interrupts.request():
            startup.start(options)
            interrupts.watch_connections()
        watch = import_module(__package__ + ".watch")
        started = {"id": 0, "result": None, "watch": watch.state(options)}
    except BaseException as exc:
        channel.send({"id": 0, "error": clean(faults.plain(exc))})
        return
    channel.send(clean(started))

    for request in channel:
        if "method" not in request:
            continue  # a confirmation that came too late for a request that was interrupted
        emit = Emit(channel, interrupts, request["id"])
        try:
            with interrupts.request():
                module = import_module(__package__ + "." + METHODS[request["method"]])
                fresh_connections()
                with translations(request["method"]):
                    answer = {"result": getattr(module, request["method"])(emit=emit, **request["args"])}
                answer["watch"] = watch.state(options)
        except BaseException as exc:
            answer = {"error": faults.plain(exc)}
            if isinstance(exc, KeyboardInterrupt):
                drop_connections()
        channel.send(clean(dict(answer, id=request["id"])))


def translations(method):
    """Give the context of languages that Django's own commands work in: none, or every translated name is a change.

    Pages alone are asked for in the project's language.
    """
    from contextlib import nullcontext

    from django.utils import translation

    return nullcontext() if method == "admin_pages" else translation.override(None)


def open_connections():
    """Return (alias, connection) of those that were made; none is made by asking."""
    from django.db import connections

    found = [(alias, getattr(connections._connections, alias, None)) for alias in connections]
    return [(alias, connection) for alias, connection in found if connection is not None]


def fresh_connections():
    """Drop connections that died since the last request, so that a restarted server is no error."""
    for _alias, connection in open_connections():
        if connection.connection is not None and not connection.is_usable():
            connection.close()


def drop_connections():
    """Forget the connections of an interrupted request, whatever state they were left in; the servers roll back."""
    from django.db import connections

    for alias, connection in open_connections():
        if connection.connection is not None:
            try:
                connection.connection.close()
            except Exception:
                pass  # broken already, and closed by that
            del connections[alias]
