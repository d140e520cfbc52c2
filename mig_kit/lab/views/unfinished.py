"""How an apply that was left unfinished looks."""

from __future__ import annotations

from mig_kit.lab.blocks import Block, Bullets, Paragraph, Phrase, Table, Title, Tone, View, code, state, strong
from mig_kit.steps.unfinished import Standing, Unfinished, Way

__all__ = ["unfinished_view"]

_TONES: dict[Standing, Tone] = {
    Standing.DONE: "good",
    Standing.NOT_STARTED: "open",
    Standing.PART_DONE: "warn",
    Standing.UNCLEAR: "bad",
}


def unfinished_view(found: Unfinished) -> View:
    """Return each migration as it stands, with the evidence, and the way on."""
    rows: list[tuple[Phrase, ...]] = [
        (
            (code(str(each)), " backwards" if each.backwards else ""),
            state(str(each.standing), _TONES[each.standing]),
            each.evidence,
        )
        for each in found.migrations
    ]
    blocks: list[Block] = [
        Title(found.words, "bad" if found.way is Way.CHOOSE else "warn"),
        Table("Its migrations, as they stand now", ("migration", "standing", "evidence"), tuple(rows)),
    ]
    current = found.current
    if found.way is Way.CHOOSE and current is not None:
        blocks.append(Paragraph(strong("Nothing tells which of these happened; whoever knows says so:")))
        choices = (current.choices or {}).items()
        said = ((code(f"rb.resume(choice={name!r})"), f": {words}") for name, (_place, words) in choices)
        blocks.append(Bullets(tuple(said)))
    else:
        blocks.append(Paragraph((strong("Next: "), code("rb.resume()"), f", to {found.way}.")))
    if current is not None and not current.backwards:
        back = ("Or take back what is done of ", code(str(current)), ": ", code("rb.resume(back=True)"), ".")
        blocks.append(Paragraph(back))
    return View(tuple(blocks))
