"""Redaction: no database needed."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import html
import json
import math
import uuid
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mig_kit.record import redact, redact_data, register_secret
from mig_kit.record.redact import MASK
from mig_kit.secret import Secret

SECRETS = st.text(st.characters(exclude_categories=["Cs"]), min_size=4, max_size=30)
# What may stand unquoted after `password=`: neither spaces nor the marks that end a value there.
PLAIN_SECRETS = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=30)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=80)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgresql://app:s3cret@db:5432/shop", "postgresql://app:***@db:5432/shop"),
        ("postgres://app:p@ss@db/shop", "postgres://app:***@db/shop"),
        ("redis://:s3cret@cache/0", "redis://:***@cache/0"),
        ("https://x.example:8000/a/@b", "https://x.example:8000/a/@b"),
        ("postgresql://app@db:5432/shop", "postgresql://app@db:5432/shop"),
        ("host=db password=s3cret dbname=x", "host=db password=*** dbname=x"),
        (r"password='it\'s' host=db", "password='***' host=db"),
        ("PGPASSWORD=s3cret pg_dump", "PGPASSWORD=*** pg_dump"),
        ("SECRET_KEY = 'django-insecure-abc'", "SECRET_KEY = '***'"),
        ('DJANGO_SECRET_KEY="abc def"', 'DJANGO_SECRET_KEY="***"'),
        ("os.environ['DB_PASSWORD'] = 'abc'", "os.environ['DB_PASSWORD'] = '***'"),
        ("{'PASSWORD': 'abc', 'USER': 'app'}", "{'PASSWORD': '***', 'USER': 'app'}"),
        ('{"api_key": "abc"}', '{"api_key": "***"}'),
        ("{&#x27;PASSWORD&#x27;: &#x27;a&amp;b&#x27;}", "{&#x27;PASSWORD&#x27;: &#x27;***&#x27;}"),
        ("ALTER ROLE app PASSWORD 'it''s'", "ALTER ROLE app PASSWORD '***'"),
        ("a `PGPASSWORD=abc` b", "a `PGPASSWORD=***` b"),
        ("<td>password=abc</td>", "<td>password=***</td>"),
        ("AWS_SECRET_ACCESS_KEY=abc/def", "AWS_SECRET_ACCESS_KEY=***"),
        (
            "-----BEGIN PRIVATE KEY-----\nMII\n-----END PRIVATE KEY-----",
            "-----BEGIN PRIVATE KEY-----***-----END PRIVATE KEY-----",
        ),
        # What shows no secret stays as it is: it is evidence.
        ("password = models.CharField(max_length=128)", "password = models.CharField(max_length=128)"),
        ("PASSWORD = os.environ['DB_PASSWORD']", "PASSWORD = os.environ['DB_PASSWORD']"),
        ("password = getpass()", "password = getpass()"),
        ('"password" varchar(128) NOT NULL', '"password" varchar(128) NOT NULL'),
        ("AUTH_PASSWORD_VALIDATORS = [", "AUTH_PASSWORD_VALIDATORS = ["),
        ("password=''", "password=''"),
    ],
)
def test_masks_the_places_where_secrets_stand(text: str, expected: str) -> None:
    assert redact(text) == expected


@given(secret=SECRETS, before=TEXTS, after=TEXTS)
@example(secret="a***", before="", after="")
@example(secret="****", before="*", after="**")
@example(secret="it's", before="password='", after="'")
def test_leaves_no_named_secret(secret: str, before: str, after: str) -> None:
    assert secret not in redact(before + secret + after, [secret])


@given(
    secret=SECRETS,
    form=st.sampled_from(
        [
            lambda s: quote(s, safe=""),
            quote,
            quote_plus,
            lambda s: json.dumps(s)[1:-1],
            lambda s: repr(s)[1:-1],
            html.escape,
            lambda s: html.escape(s, quote=False),
            lambda s: s.replace("'", "''"),
            lambda s: s.replace("\\", "\\\\").replace("'", "\\'"),
        ]
    ),
)
def test_leaves_no_named_secret_in_another_form(secret: str, form: object) -> None:
    assert callable(form)
    escaped = form(secret)
    assert escaped not in redact(f"<{escaped}>", [Secret(secret)])


@given(
    secret=PLAIN_SECRETS,
    template=st.sampled_from(
        [
            "host=db password={} user=app",
            "PGPASSWORD={} psql",
            "postgresql://app:{}@db/shop",
            "SECRET_KEY='{}'",
            '{{"password": "{}"}}',
            "CREATE ROLE app LOGIN PASSWORD '{}'",
        ]
    ),
)
def test_leaves_no_unknown_secret_where_secrets_stand(secret: str, template: str) -> None:
    assert redact(template.format(secret)) == template.format(MASK)


@given(text=TEXTS, secrets=st.lists(SECRETS, max_size=3))
def test_redacting_twice_changes_nothing_more(text: str, secrets: list[str]) -> None:
    once = redact(text, secrets)
    assert redact(once, secrets) == once


@given(text=TEXTS.filter(lambda t: not any(mark in t for mark in "=:'\"&-@")))
def test_leaves_ordinary_text_alone(text: str) -> None:
    assert redact(text) == text


def test_a_registered_secret_is_masked_everywhere_and_a_short_one_is_not() -> None:
    register_secret(Secret("tr0ub4dor&3"))
    register_secret("abc")
    register_secret(Secret(""))
    assert redact("tr0ub4dor&3 tr0ub4dor%263 tr0ub4dor&amp;3 abc") == "*** *** *** abc"


@pytest.mark.timeout(60)
def test_is_quick_on_a_long_run_of_letters() -> None:
    """A pattern that began anywhere inside a word took time with the square of an image's base64 text."""
    text = "QUJD" * 500_000
    assert redact(text, ["tr0ub4dor&3"]) == text


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Server:
    host: str
    password: str


def test_makes_plain_data_of_what_steps_return() -> None:
    data = {
        "path": Path("/srv/app"),
        "at": dt.datetime(2026, 11, 23, tzinfo=dt.UTC),
        "took": dt.timedelta(milliseconds=1500),
        "price": decimal.Decimal("1.10"),
        "id": uuid.UUID(int=1),
        "colour": Colour.RED,
        "server": Server("db", "abc"),
        "names": {"b", "a"},
        "pair": (1, 2.5),
        "raw": b"abc",
        "nothing": None,
        "nan": math.nan,
        "error": ValueError("password=abc"),
        "secret": Secret("abc"),
        "has_password": True,
        "file": b"caf\xe9".decode("utf-8", "surrogateescape"),
        7: "seven",
    }
    plain = redact_data(data)
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert plain == {
        "path": "/srv/app",
        "at": "2026-11-23T00:00:00+00:00",
        "took": 1.5,
        "price": "1.10",
        "id": "00000000-0000-0000-0000-000000000001",
        "colour": "red",
        "server": {"host": "db", "password": "***"},
        "names": ["a", "b"],
        "pair": [1, 2.5],
        "raw": "<3 bytes>",
        "nothing": None,
        "nan": "nan",
        "error": "ValueError: password=***",
        "secret": "***",
        "has_password": True,
        "file": "caf\\udce9",
        "7": "seven",
    }


@given(
    data=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | TEXTS | SECRETS,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
        max_leaves=10,
    ),
    secret=SECRETS,
)
def test_plain_data_is_json_and_holds_no_secret(data: object, secret: str) -> None:
    register_secret(secret)
    plain = redact_data({"inside": [data, secret, {secret: 1}, f"x{secret}y"]})
    json.dumps(plain, allow_nan=False).encode()

    def texts(value: object) -> list[str]:
        if isinstance(value, dict):
            return [text for pair in value.items() for item in pair for text in texts(item)]
        if isinstance(value, list):
            return [text for item in value for text in texts(item)]
        return [value] if isinstance(value, str) else []

    assert isinstance(plain, dict)
    assert not any(secret in text for text in texts(plain["inside"]))


def test_two_names_that_become_one_when_masked_keep_both_values() -> None:
    register_secret("tr0ub4dor")
    register_secret("b4ttery-st4ple")
    assert redact_data({"tr0ub4dor": 1, "b4ttery-st4ple": 2}) == {"***": 1, "****": 2}
