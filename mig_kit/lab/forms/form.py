"""What every form has: a static view that the document keeps, and controls for whoever sits at the notebook."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mig_kit.errors import MigKitError
from mig_kit.lab.blocks import Paragraph, View, strong
from mig_kit.lab.html import to_html
from mig_kit.lab.text import to_text
from mig_kit.record import redact

if TYPE_CHECKING:
    from mig_kit.runbook import Runbook

__all__ = ["Form", "somebody_is_there"]

_WIDGET = "application/vnd.jupyter.widget-view+json"
_WITHOUT_KERNEL = "The form itself works while the notebook's kernel runs; above is what was chosen in it."


class Form(ABC):
    """A form of a runbook.

    Displayed, it is two outputs: the view, updated in place after each click, so that the saved file shows the last
    state with no widget state in it; and the controls, only where somebody can use them. Headless, the view alone.
    A callback that fails says so in the view: what it prints or raises would be seen nowhere.
    """

    def __init__(self, runbook: Runbook) -> None:
        self.runbook = runbook
        self._handles: list[Any] = []
        self._failure = ""

    @abstractmethod
    def view(self) -> View:
        """Return what is chosen, as it stands."""

    @abstractmethod
    def controls(self) -> Any:
        """Return the widget, made on first use; None where there is nothing to choose."""

    def __repr__(self) -> str:
        return to_text(self._view())

    def _repr_html_(self) -> str:
        return to_html(self._view())

    def _ipython_display_(self) -> None:
        from IPython.display import display

        self._handles.append(display(self._bundle(), raw=True, display_id=True))  # type: ignore[no-untyped-call]
        controls = self.controls() if somebody_is_there() else None
        if controls is None:
            return
        shown = {
            _WIDGET: controls._repr_mimebundle_()[_WIDGET],
            "text/html": f'<div class="mk"><p><small>{_WITHOUT_KERNEL}</small></p></div>',
            "text/plain": f"({_WITHOUT_KERNEL})",
        }
        display(shown, raw=True)  # type: ignore[no-untyped-call]

    def refresh(self) -> None:
        """Draw the view anew wherever it stands."""
        for handle in self._handles:
            handle.update(self._bundle(), raw=True)

    def on_change(self, widget: Any, act: Callable[[Any], None]) -> None:
        """Have ``act`` called with a control's new value, then the view drawn; an error is shown in the view."""
        widget.observe(lambda change: self._acted(act, change["new"]), names="value")

    def on_click(self, button: Any, act: Callable[[Any], None]) -> None:
        """Have ``act`` called with a button that was pressed, as ``on_change`` does."""
        button.on_click(lambda pressed: self._acted(act, pressed))

    def _acted(self, act: Callable[[Any], None], value: Any) -> None:
        try:
            act(value)
            self._failure = ""
        except MigKitError as exc:
            self._failure = str(exc)
        except Exception as exc:
            self._failure = f"{type(exc).__name__}: {exc}"
        self.refresh()

    def _view(self) -> View:
        view = self.view()
        if not self._failure:
            return view
        return View((*view.blocks, Paragraph((strong("That did not work: "), redact(self._failure)), "bad")))

    def _bundle(self) -> dict[str, str]:
        view = self._view()
        return {"text/html": to_html(view), "text/plain": to_text(view)}


def somebody_is_there() -> bool:
    """Tell whether the cell was run by a frontend that somebody sits at.

    Jupyter's protocol says so with each request: one that allows no input (nbclient, papermill) has nobody to ask.
    """
    from IPython.core.getipython import get_ipython

    kernel = getattr(get_ipython(), "kernel", None)
    if kernel is None:
        return False
    request = kernel.get_parent("shell") or {}
    return bool(request.get("content", {}).get("allow_stdin", False))
