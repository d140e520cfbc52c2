"""``python -m mig_kit``: the command line."""

from mig_kit.cli import main

main()
