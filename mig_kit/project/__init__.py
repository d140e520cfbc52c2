"""The user's Django project: find it, start a worker in its own interpreter, talk to it."""

from mig_kit.project.client import Worker
from mig_kit.project.config import Config
from mig_kit.project.find import Project, find_project

__all__ = ["Config", "Project", "Worker", "find_project"]
