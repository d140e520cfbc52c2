"""The safe migrations to write instead of one that is not."""

from mig_kit.hazards.remedies._remedy import NoRemedy, Remedy
from mig_kit.hazards.remedies.combine import Combined, combined_remedy
from mig_kit.hazards.remedies.find import remedy

__all__ = ["Combined", "NoRemedy", "Remedy", "combined_remedy", "remedy"]
