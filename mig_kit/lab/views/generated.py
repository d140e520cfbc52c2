"""How freshly written migration files look."""

from __future__ import annotations

from mig_kit.lab.blocks import (
    Block,
    Fold,
    Paragraph,
    Source,
    Title,
    Tone,
    View,
    code,
    quiet,
    strong,
)
from mig_kit.lab.views.findings import finding_blocks
from mig_kit.lab.views.session import plural
from mig_kit.steps.generate import Generated, GeneratedFile

__all__ = ["generated_view"]

# A file of more lines than this starts folded.
_LONG = 80


def generated_view(generated: Generated) -> View:
    """Return the findings, then each file in full."""
    if not generated.files:
        return View(
            (Title("Nothing to generate"), Paragraph("The models and the migrations say the same."), *_notes(generated))
        )
    files, findings = plural(len(generated.files), "migration file"), plural(len(generated.findings), "finding")
    tone: Tone = "bad" if generated.errors else "warn" if generated.findings else "good"
    blocks: list[Block] = [
        Title(f"Generated: {files}, {findings if generated.findings else 'no findings'}", tone),
        *_notes(generated),
    ]
    if generated.findings:
        blocks += finding_blocks(generated.findings)
    else:
        blocks.append(
            Paragraph(
                "Checked, and nothing found: no field changes or narrows its type, no field or model is deleted, every "
                "dependency is there and in order."
            )
        )
    blocks += [_file(each) for each in generated.files]
    blocks.append(
        Paragraph(
            (
                "Not what you expected? ",
                code("rb.undo_generate()"),
                " removes these files again, as long as they are neither applied nor edited.",
            )
        )
    )
    return View(tuple(blocks))


def _notes(generated: Generated) -> list[Block]:
    notes: list[Block] = [Paragraph(("Note: ", each), "warn") for each in generated.warnings]
    for branch in generated.branches:
        listed = "; ".join(f"{key}: {value}" for key, value in branch.items())
        notes.append(Paragraph(("Merged: ", listed)))
    return notes


def _file(file: GeneratedFile) -> Fold:
    made = f" (made with it: {', '.join(str(each) for each in file.created)})" if file.created else ""
    summary = (strong(f"{file.app}.{file.name}"), quiet(f"  {file.path}{made}"))
    return Fold(summary, (Source(file.source, "python"),), open=file.source.count("\n") <= _LONG)
