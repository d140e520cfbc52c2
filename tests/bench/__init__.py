"""What mig_kit's speed is measured against, a module a topic; ``python -m tests.bench`` runs them.

A topic is a module with ``rows(options) -> list[Row]``; it is found by itself.
"""
