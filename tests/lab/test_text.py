"""Views as plain text."""

from __future__ import annotations

from mig_kit.lab.blocks import Bullets, Fold, Group, Paragraph, Source, Table, Title, View, code, facts, limited, state
from mig_kit.lab.text import to_text


def test_a_view_reads_as_text() -> None:
    view = View(
        (
            Title("Applied: 1 migration"),
            Paragraph(("Next: ", code("rb.verify()"), ".")),
            Bullets(("one", "two")),
            Table("Times", ("time", "statement"), (Group("blog.0001"), ("1.5 ms", code("SELECT [1]"))), frozenset({0})),
            facts("Facts", [("a", "1"), ("left out", ""), ("long name", "2")]),
            Fold("More", (Source("line 1\nline 2\n"),)),
        )
    )
    assert to_text(view) == (
        "Applied: 1 migration\n"
        "--------------------\n"
        "\n"
        "Next: rb.verify().\n"
        "\n"
        "- one\n"
        "- two\n"
        "\n"
        "Times\n"
        "blog.0001\n"
        "   time   statement\n"
        " ───────────────────\n"
        " 1.5 ms   SELECT [1]\n"
        "\n"
        "Facts\n"
        "a          1\n"
        "long name  2\n"
        "\n"
        "More\n"
        "\n"
        "      line 1\n"
        "      line 2"
    )


def test_no_line_is_wider_than_a_page() -> None:
    long = "a_name_without_any_space_" * 10
    view = View((Table(long[:50], ("a", "b"), ((long, long), ("x", state("ok")))), Paragraph("word " * 60)))
    assert max(map(len, to_text(view).splitlines())) <= 118
    assert to_text(view).replace("\n", "").replace(" ", "").count("a_name") > 15


def test_escape_sequences_do_not_reach_the_terminal() -> None:
    assert "\x1b" not in to_text(View((Title("\x1b[2Jgone"), Source("\x1b]0;title\x07"), Paragraph(code("\x1b[31m")))))


def test_an_empty_table_says_so() -> None:
    assert to_text(View((Table("Files", ("file",), ()),))) == "Files\n(none)"


def test_what_is_left_out_is_counted() -> None:
    rows = limited([("a",), ("b",), ("c",)], 1, "the manifest has them")
    assert rows == (("a",), Group("… and 2 more: the manifest has them"))
    assert limited([("a",)], 1, "") == (("a",),)
