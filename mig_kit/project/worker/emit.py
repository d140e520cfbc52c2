"""Events to the client: told, or told and waited for until the client has them safe."""

from .faults import Fault
from .wire import clean


class Emit:
    """Send the events of one request; a method gets it as ``emit``."""

    def __init__(self, channel, interrupts, request):
        self._channel = channel
        self._interrupts = interrupts
        self._request = request
        self._asked = 0

    def __call__(self, event, **data):
        """Tell the client, and go on at once."""
        self._send({"id": self._request, "event": event, "data": data})

    def confirmed(self, event, **data):
        """Tell the client and wait until it has taken the event in; return what it answers.

        A client that is gone, or does not want the work to go on, never confirms: then this raises.
        """
        self._asked += 1
        self._send({"id": self._request, "event": event, "data": data, "ack": self._asked})
        while True:
            try:
                message = self._channel.receive()
            except EOFError:
                raise Fault(
                    "RecordError",
                    "Nobody keeps the record any more: the session that asked for this is gone.",
                    "open the runbook again",
                ) from None
            if message.get("ack") == self._asked:
                return message.get("data")

    def _send(self, message):
        with self._interrupts.held():  # half a message would spoil the channel
            self._channel.send(clean(message))
