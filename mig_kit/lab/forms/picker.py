"""The picker for app and migration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mig_kit.lab.blocks import Block, Paragraph, Phrase, Table, Title, View, code, limited, state, strong
from mig_kit.lab.forms.form import Form
from mig_kit.lab.views.session import plural
from mig_kit.runbook import Choice

if TYPE_CHECKING:
    from mig_kit.runbook import Runbook

__all__ = ["Picker"]

_MOST = 50
_NAMED = 5


@dataclass(frozen=True, slots=True)
class _Migration:
    app: str
    name: str
    applied: str | None
    operations: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.app}.{self.name}"


class Picker(Form):
    """A field with suggestions: all pending first, then the apps with pending ones, these, then the applied ones.

    What is typed and fits one thing, or is chosen from the suggestions, goes into ``runbook.choice``. It is a text
    field because JupyterLab takes a list's keys for its own: an arrow there moves to the next cell, an x cuts one.
    """

    def __init__(self, runbook: Runbook) -> None:
        super().__init__(runbook)
        nodes = runbook.target.ask("graph")["nodes"]
        every = [
            _Migration(each["app"], each["name"], each["applied"] and str(each["applied"]), tuple(each["operations"]))
            for each in nodes
            if each["routed"]
        ]
        self.pending = [each for each in every if not each.applied]
        self.applied = sorted(
            (each for each in every if each.applied), key=lambda each: each.applied or "", reverse=True
        )
        self.choice = self._resolved(runbook.choice)
        runbook.choice = self.choice
        self._searched = ""
        self._box: Any = None

    def _resolved(self, choice: Choice) -> Choice:
        """Complete a name that is a prefix ("0002"), as migrate does; what is not known is left to the step."""
        if choice.name is None:
            return choice
        names = [each.name for each in (*self.pending, *self.applied) if each.app == choice.app]
        fitting = [each for each in names if each.startswith(choice.name)]
        known = choice.name in names or len(fitting) != 1
        return choice if known else Choice(choice.app, fitting[0])

    @property
    def chosen(self) -> tuple[_Migration, ...]:
        """The migrations that the choice means."""
        app, name = self.choice.app, self.choice.name
        if name is None:
            return tuple(each for each in self.pending if app in (None, each.app))
        return tuple(each for each in (*self.pending, *self.applied) if (each.app, each.name) == (app, name))

    def choose(self, choice: Choice) -> None:
        """Choose an app, one of its migrations, or all pending ones."""
        self.choice = self.runbook.choice = choice

    def search(self, text: str) -> None:
        """Choose what a text means, as soon as it means one thing: a suggestion, an app, or words that fit only one."""
        self._searched = ""
        found = self.options(text)
        exact = [choice for label, choice in found if text == label or (text == choice.app and choice.name is None)]
        if exact:
            self.choose(exact[0])
        elif len(found) == 1:
            self.choose(found[0][1])
        elif text.strip():
            self._searched = text

    def view(self) -> View:
        app, name = self.choice.app, self.choice.name
        if name is not None:
            title = f"Chosen: {app}.{name}"
        elif app is not None:
            title = f"Chosen: what is pending in {app}, {plural(len(self.chosen), 'migration')}"
        else:
            title = f"Chosen: all that is pending, {plural(len(self.chosen), 'migration')}"
        blocks: list[Block] = [Title(title)]
        rows: list[tuple[Phrase, ...]] = [
            (
                code(each),
                state("applied") if each.applied else state("pending"),
                "; ".join(each.operations) or "no operation",
            )
            for each in self.chosen
        ]
        if rows:
            columns = ("migration", "state", "operations")
            blocks.append(Table("What the next cells work on", columns, limited(rows, _MOST, "rb.status()")))
        elif name is not None:
            blocks.append(Paragraph("No migration has that name: the next cell names the nearest.", "warn"))
        else:
            blocks.append(Paragraph("Nothing is pending there."))
        if self._searched:
            fitting = [label for label, _choice in self.options(self._searched)]
            more = ", …" if len(fitting) > _NAMED else ""
            named = f"{len(fitting)} fit: {', '.join(fitting[:_NAMED])}{more}" if fitting else "nothing fits"
            blocks.append(Paragraph((strong(self._searched), f": {named}. The choice above stands.")))
        return View(tuple(blocks))

    def options(self, searched: str = "") -> list[tuple[str, Choice]]:
        """Return what can be chosen, those that have every word of ``searched`` in them."""
        found = [(f"All pending: {plural(len(self.pending), 'migration')}", Choice())]
        for app in dict.fromkeys(each.app for each in self.pending):
            count = sum(each.app == app for each in self.pending)
            found.append((f"{app}: {count} pending", Choice(app)))
        found += [(f"[ ] {each}", Choice(each.app, each.name)) for each in self.pending]
        found += [(f"[X] {each}", Choice(each.app, each.name)) for each in self.applied]
        terms = searched.lower().split()
        return [each for each in found if all(term in each[0].lower() for term in terms)]

    def controls(self) -> Any:
        if self._box is not None:
            return self._box
        import ipywidgets

        wide = {"description_width": "initial"}
        layout = ipywidgets.Layout(width="46rem", max_width="100%")
        field = ipywidgets.Combobox(
            options=[label for label, _choice in self.options()],
            description="App or migration:",
            placeholder="all pending; type to search, such as: blog 0005",
            ensure_option=False,
            style=wide,
            layout=layout,
        )
        everything = ipywidgets.Button(description="All pending", tooltip="Choose all that is pending")

        def reset(_: object) -> None:
            field.value = ""
            self.choose(Choice())

        self.on_change(field, self.search)
        self.on_click(everything, reset)
        self._box = ipywidgets.HBox([field, everything], layout=ipywidgets.Layout(flex_flow="row wrap"))
        self._box.add_class("mk-form")
        return self._box
