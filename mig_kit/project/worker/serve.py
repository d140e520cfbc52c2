"""The loop: a request in, events and one answer out."""

from . import faults, startup

METHODS = {
    "admin_pages": "checks",
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
    "sql": "sql",
    "system_checks": "checks",
}


def serve(channel, options):
    """Answer requests until the channel closes.

    A request is ``{"id", "method", "args"}``; answers are ``{"id", "event", "data"}`` any number of times, then
    one ``{"id", "result", "watch"}`` or ``{"id", "error"}``. ``watch`` says which files and folders the answer
    came from, each with its state, so that the client can tell when this process is out of date.
    """
    from importlib import import_module

    startup.detach()
    busy = startup.Busy()
    try:
        with busy:
            startup.start(options)
    except BaseException as exc:
        channel.send({"id": 0, "error": faults.plain(exc)})
        return
    watch = import_module(__package__ + ".watch")
    channel.send({"id": 0, "result": None, "watch": watch.state(options)})

    for request in channel:

        def emit(event, _id=request["id"], **data):
            channel.send({"id": _id, "event": event, "data": data})

        try:
            with busy:
                module = import_module(__package__ + "." + METHODS[request["method"]])
                fresh_connections()
                answer = {"result": getattr(module, request["method"])(emit=emit, **request["args"])}
                answer["watch"] = watch.state(options)
        except BaseException as exc:
            answer = {"error": faults.plain(exc)}
        channel.send(dict(answer, id=request["id"]))


def fresh_connections():
    """Drop connections that died since the last request, so that a restarted server is no error."""
    from django.db import connections

    for connection in connections.all():
        if connection.connection is not None and not connection.in_atomic_block and not connection.is_usable():
            connection.close()
