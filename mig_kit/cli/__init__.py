"""The command line: parses, calls one library function, shows its result, maps errors to exit codes."""

from __future__ import annotations

from mig_kit.cli.main import cli, main

__all__ = ["cli", "main"]
