"""Who holds locks now, and whom an apply may end when it meets them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from mig_kit.lab.blocks import Paragraph, Phrase, Table, Title, View, code, quiet, state
from mig_kit.lab.forms.form import Form
from mig_kit.lab.views.session import plural

if TYPE_CHECKING:
    from mig_kit.runbook import Runbook

__all__ = ["Blockers"]


class Blockers(Form):
    """One box a session; a ticked one is ended if it stands in the way of the next apply, rollback or resume."""

    def __init__(self, runbook: Runbook) -> None:
        super().__init__(runbook)
        self.found = runbook.in_the_way()
        self._box: Any = None

    def view(self) -> View:
        if not self.found:
            return View((Title("Nobody holds a lock on a table now", "good"),))
        rows: list[tuple[Phrase, ...]] = []
        for each in self.found.sessions:
            chosen = self.runbook.is_to_end(each.session)
            box = "[x]" if chosen else "[ ]"
            doing: Phrase = (each.session.words, "\n", code(each.session.query))
            what = state("is ended if it is in the way", "warn") if chosen else quiet("is only shown")
            rows.append((f"{box} process {each.session.pid}", doing, ", ".join(each.tables), what))
        chosen_count = sum(self.runbook.is_to_end(each.session) for each in self.found.sessions)
        return View(
            (
                Title(f"{plural(len(self.found.sessions), 'session')} with locks, {chosen_count} to be ended"),
                Table("Who holds locks on tables now", ("session", "what it does", "tables", "choice"), tuple(rows)),
                Paragraph(quiet("Nothing is ended here: the cell that applies does, and only when it has to wait.")),
            )
        )

    def controls(self) -> Any:
        if not self.found:
            return None
        if self._box is not None:
            return self._box
        import ipywidgets

        boxes: list[Any] = []
        for each in self.found.sessions:
            box = ipywidgets.Checkbox(
                value=self.runbook.is_to_end(each.session),
                description=f"end process {each.session.pid} ({each.session.role}, {each.session.application})",
                tooltip=f"process {each.session.pid}: {each.session.words}",
                indent=False,
                layout=ipywidgets.Layout(width="auto"),
            )
            self.on_change(box, partial(self.runbook.choose_to_end, each.session))
            boxes.append(box)
        self._box = ipywidgets.VBox(boxes)
        self._box.add_class("mk-form")
        return self._box
