"""What goes over the channel: plain data only."""


def clean(value):
    """Return a value as plain data that any channel carries: other types become text, keys too.

    A string of another class (a SafeString, a lazy translation) becomes an ordinary one, and what is not Unicode
    (a file name in another encoding) is escaped.
    """
    kind = type(value)
    if value is None or kind in (bool, float):
        return value
    if kind is str:
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, bool) or kind is int:
        return value if value >= -(2**31) else float(value)  # a smaller one does not fit the channel's integers
    if isinstance(value, dict):
        return {clean(key): clean(each) for key, each in value.items()}
    if isinstance(value, tuple):
        return tuple(clean(each) for each in value)
    if isinstance(value, (list, set, frozenset)):
        return [clean(each) for each in value]
    if isinstance(value, int):
        return clean(int(value))
    if isinstance(value, float):
        return float(value)
    return clean("" + str(value))
