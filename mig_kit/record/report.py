"""The report: one HTML file that says what happened and shows the evidence."""

from __future__ import annotations

import copy
import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import RecordError
from ._summary import summarise
from .journal import Journal, verify
from .redact import redact

if TYPE_CHECKING:
    from nbformat import NotebookNode

__all__ = ["redact_notebook", "write_report"]

_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def write_report(notebook: Path, journal: Journal, out: Path, *, css: str = "") -> Path:
    """Write the record of a run to ``out``, and return ``out``.

    The file stands alone: no script runs in it and nothing is loaded, which its content security policy
    also forbids. It opens with the summary from ``journal`` (and whether the journal holds), then shows the
    executed ``notebook``. Both are redacted. A notebook that is missing or cannot be read is said so in its
    place. ``css`` is added to the report's own. Written under another name and renamed, readable by its
    owner alone; RecordError when it cannot be written, and an older report is then still there.
    """
    from ._exporter import render

    node, notice = _read(notebook)
    summary = summarise(journal.entries(), verify(journal.path))
    html = render(redact_notebook(node), summary, folder=notebook.parent, css=css, notice=notice)
    try:
        _replace(out, html.encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise RecordError(
            f"The report {str(out)!r} could not be written: {error.strerror or error}.",
            hint="check the folder's permissions and the disk's free space, then write it again",
        ) from error
    return out


def redact_notebook(notebook: NotebookNode) -> NotebookNode:
    """Return a copy of ``notebook`` with its sources and the text of its outputs redacted; images stay."""
    notebook = copy.deepcopy(notebook)
    for cell in notebook.cells:
        cell.source = redact(cell.source)
        for output in cell.get("outputs", ()):
            if output.output_type == "stream":
                output.text = _redact_terminal(output.text)
            elif output.output_type == "error":
                output.ename, output.evalue = redact(output.ename), redact(output.evalue)
                output.traceback = _redact_terminal("\n".join(output.traceback)).split("\n")
            else:
                for mime, value in output.data.items():
                    if isinstance(value, str) and not mime.startswith("image/"):
                        output.data[mime] = _redact_terminal(value)
    return notebook


def _redact_terminal(text: str) -> str:
    """Redact text that may hold terminal colours, which can stand in the middle of what should be found."""
    bare = _ANSI.sub("", text)
    redacted = redact(bare)
    # The colours go only where they would have hidden something.
    return redact(text) if redacted == bare else redacted


def _read(path: Path) -> tuple[NotebookNode, str]:
    import nbformat

    empty = nbformat.v4.new_notebook()  # type: ignore[no-untyped-call]
    if not path.is_file():
        return empty, f"There is no executed notebook at {str(path)!r}."
    try:
        node: NotebookNode = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
        return node, ""
    except Exception as error:  # nbformat raises its own, json's and validation's
        return empty, redact(f"The notebook {str(path)!r} could not be read ({type(error).__name__}).")


def _replace(out: Path, content: bytes) -> None:
    fd, name = tempfile.mkstemp(prefix=f".{out.name}.", dir=out.parent)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(out)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
