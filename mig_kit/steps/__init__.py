"""The runbook's steps: each a plain function that takes a target and choices and returns one frozen dataclass."""
