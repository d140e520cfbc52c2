"""The runbook's "What to check" on generated files: what the tool found, and what a person looked at."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from mig_kit.hazards import Finding
from mig_kit.lab.blocks import Group, Paragraph, Phrase, Table, Title, View, code, quiet, state, strong
from mig_kit.lab.forms.form import Form
from mig_kit.lab.html import escaped
from mig_kit.lab.views.session import plural
from mig_kit.runbook import Tick

if TYPE_CHECKING:
    from mig_kit.runbook import Runbook

__all__ = ["CHECKS", "Checklist"]

# The runbook's three lines, and the ids of the findings that speak to each.
CHECKS = {
    "Field types are correct": "MK10",
    "No accidental deletions": "MK11",
    "Dependencies are in order": "MK12",
}
# The files could not be checked: that speaks to every line.
_NOT_CHECKED = "MK100"


class Checklist(Form):
    """One box a check and migration, the automatic finding beside it; a tick goes into the runbook and its journal."""

    def __init__(self, runbook: Runbook) -> None:
        super().__init__(runbook)
        self.generated = runbook.generated
        self._box: Any = None

    @property
    def migrations(self) -> tuple[str, ...]:
        """The migrations to look at, as app.name."""
        return tuple(f"{each.app}.{each.name}" for each in self.generated.files) if self.generated else ()

    def findings(self, migration: str, check: str) -> tuple[Finding, ...]:
        """Return what was found automatically on one line of the list."""
        assert self.generated is not None
        return tuple(
            each
            for each in self.generated.findings
            if each.id == _NOT_CHECKED
            or (f"{each.app}.{each.migration}" == migration and each.id.startswith(CHECKS[check]))
        )

    def ticked(self, migration: str, check: str) -> bool:
        """Tell whether a person ticked it."""
        return Tick(migration, check) in self.runbook.ticks

    def view(self) -> View:
        if not self.migrations:
            return View((Title("What to check: no file was generated in this session"),))
        rows: list[tuple[Phrase, ...] | Group] = []
        for migration in self.migrations:
            rows.append(Group(code(migration)))
            for check in CHECKS:
                done = self.ticked(migration, check)
                box = "[x]" if done else "[ ]"
                looked = state("ticked") if done else quiet("not ticked")
                rows.append((f"{box} {check}", self._found(migration, check), looked))
        lines = len(self.migrations) * len(CHECKS)
        ticked = sum(self.ticked(migration, check) for migration in self.migrations for check in CHECKS)
        return View(
            (
                Title(
                    f"What to check: {ticked} of {plural(lines, 'line')} ticked", "good" if ticked == lines else None
                ),
                Table("The runbook's checklist", ("check", "found automatically", "looked at"), tuple(rows)),
                Paragraph(quiet("A tool finds what it knows to look for. A tick says that somebody read the file.")),
            )
        )

    def _found(self, migration: str, check: str) -> Phrase:
        findings = self.findings(migration, check)
        if not findings:
            return state("nothing found", "good")
        parts: list[Any] = []
        for each in findings:
            parts += ["\n"] if parts else []
            parts += [state(str(each.severity)), " ", code(each.id), f" {each.message} ", strong("Next: "), each.hint]
        return tuple(parts)

    def controls(self) -> Any:
        if not self.migrations:
            return None
        if self._box is not None:
            return self._box
        import ipywidgets

        children: list[Any] = []
        for migration in self.migrations:
            children.append(ipywidgets.HTML(f"<b>{escaped(migration)}</b>"))
            boxes: list[Any] = []
            for check in CHECKS:
                found = self.findings(migration, check)
                said = "; ".join(f"{each.severity} {each.id}" for each in found) or "nothing found"
                box = ipywidgets.Checkbox(
                    value=self.ticked(migration, check),
                    description=f"{check} ({said})",
                    tooltip=f"{migration}: {check}",
                    indent=False,
                    layout=ipywidgets.Layout(width="auto", margin="0 1.5rem 0 0"),
                )
                self.on_change(box, partial(self.runbook.tick, migration, check))
                boxes.append(box)
            children.append(ipywidgets.HBox(boxes, layout=ipywidgets.Layout(flex_flow="row wrap")))
        self._box = ipywidgets.VBox(children)
        self._box.add_class("mk-form")
        return self._box
