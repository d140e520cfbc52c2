"""The safe migrations to write instead of one that is not."""

from mig_kit.hazards.remedies._remedy import NoRemedy, Remedy
from mig_kit.hazards.remedies.find import remedy

__all__ = ["NoRemedy", "Remedy", "remedy"]
