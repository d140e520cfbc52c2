"""The kernel that mig_kit's notebooks run in: the interpreter that has mig_kit."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

__all__ = ["KERNEL", "kernel_environ"]

KERNEL = "python3"


@contextlib.contextmanager
def kernel_environ(run_folder: Path) -> Iterator[dict[str, str]]:
    """Give the environment in which Jupyter's "python3" is ``sys.executable`` and the record lies in ``run_folder``.

    Elsewhere on the machine a kernel of that name may belong to any other interpreter, so this one is described in
    a folder of its own, which lasts as long as the context and is looked at first.
    """
    with tempfile.TemporaryDirectory(prefix="mig_kit-kernel-") as folder:
        spec = Path(folder) / "kernels" / KERNEL
        spec.mkdir(parents=True)
        description = {
            "argv": [
                sys.executable,
                "-Xfrozen_modules=off",
                "-m",
                "ipykernel_launcher",
                "-f",
                "{connection_file}",
                "--log-level=ERROR",
            ],
            "display_name": "Python 3 (mig_kit)",
            "language": "python",
            "metadata": {"debugger": True},
        }
        (spec / "kernel.json").write_text(json.dumps(description), encoding="utf-8")
        others = [each for each in os.environ.get("JUPYTER_PATH", "").split(os.pathsep) if each]
        yield {
            **{name: value for name, value in os.environ.items() if name != "JUPYTER_PREFER_ENV_PATH"},
            "JUPYTER_PATH": os.pathsep.join([folder, *others]),
            "JUPYTER_PREFER_ENV_PATH": "0",
            "MIG_KIT_RUN_FOLDER": str(run_folder),
        }
