"""A string that does not show itself."""

from __future__ import annotations

__all__ = ["Secret"]


class Secret:
    """Hold a string that never appears in a repr, a format, a traceback or a pickle by accident.

    ``reveal()`` is the only way to the value, so every use can be found by searching for that word.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str = "") -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the value itself: for the one call that needs it, never for text."""
        return self._value

    def __repr__(self) -> str:
        return "Secret('***')" if self._value else "Secret('')"

    def __str__(self) -> str:
        return "***" if self._value else ""

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a Secret is not pickled; pass reveal() over a channel that is meant for it")
