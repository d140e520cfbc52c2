"""What an operation would do, and whether anybody should look twice."""

from mig_kit.hazards.finding import Finding, Severity
from mig_kit.hazards.generated import check_generated

__all__ = ["Finding", "Severity", "check_generated"]
