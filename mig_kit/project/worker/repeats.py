"""Statements that run again and again in one operation, as Python code has it: counted, and looked at once."""

from .script import without_values

# So many looks an operation gets in any case; above that, as many as take this share of its time.
_FREE = 100
_SHARE = 0.1


class Repeated:
    """One statement and how often it ran since it was last told of."""

    def __init__(self, text, number):
        self.text = text
        self.number = number
        self.transaction = None
        self.clear()

    def clear(self):
        self.times, self.ms, self.first = 0, 0.0, None

    def ran(self, times, ms, at, transaction):
        """Count one run more."""
        self.times += times
        self.ms += ms
        self.first = at if self.first is None else self.first
        self.transaction = transaction

    def fact(self):
        """Return it as plain data."""
        return {"n": self.number, "times": self.times, "ms": self.ms, "at": self.first, "transaction": self.transaction}


class Repeats:
    """The statements that the operation at hand has run so far, those of other values taken together."""

    def __init__(self):
        self._known = {}  # type: dict[str, Repeated]
        self._same = {}  # type: dict[str, Repeated]
        self._dirty = []  # type: list[Repeated]
        self._looks = 0
        self._spent = 0.0
        self._began = None

    def clear(self):
        """Begin anew, with the next operation."""
        self._known.clear()
        self._same.clear()
        self._looks, self._spent, self._began = 0, 0.0, None

    def same(self, text):
        """Return the statement of exactly this text that this is a repetition of, or None."""
        return self._same.get(text)

    def known(self, text):
        """Return the statement that this is a repetition of, with whatever values in its text, or None."""
        return self._known.get(without_values(text)) if self._known else None

    def note(self, text, number):
        """Remember a statement that was told of."""
        self._known[without_values(text)] = self._same[text] = Repeated(text, number)

    def dirty(self, known):
        """Note that it has run since the last look."""
        if known not in self._dirty:
            self._dirty.append(known)

    def left_out(self, number):
        """Note that a statement was told of without a look."""
        self._dirty.append(Repeated("", number))

    def looked(self, ms):
        """Count a look, which took so many milliseconds."""
        self._looks += 1
        self._spent += ms

    def worth_a_look(self, clock):
        """Say whether one more look is still cheap beside the operation itself."""
        if self._began is None:
            self._began = clock.now()
        return self._looks < _FREE or self._spent < _SHARE * (clock.now() - self._began)

    def urgent(self, clock):
        """Say whether to look before a transaction ends: where a statement had no look, or where one is cheap."""
        return any(not each.text for each in self._dirty) or (bool(self._dirty) and self.worth_a_look(clock))

    def take(self):
        """Return what ran since the last look, as plain data, and forget that it did."""
        facts = [each.fact() for each in self._dirty]
        for each in self._dirty:
            each.clear()
        self._dirty = []
        return facts
