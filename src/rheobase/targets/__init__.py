"""Programs on microcontrollers: built with cross compilers, run on emulated machines, counted in instructions."""

from rheobase.targets.image import Image, build
from rheobase.targets.machine import Execution, profile, run
from rheobase.targets.packages import PACKAGES, Feed, write_package
from rheobase.targets.registry import TARGETS, Target, ToolError, missing, target
from rheobase.targets.reports import Report, measured_rates, report

__all__ = [
    "PACKAGES",
    "TARGETS",
    "Execution",
    "Feed",
    "Image",
    "Report",
    "Target",
    "ToolError",
    "build",
    "measured_rates",
    "missing",
    "profile",
    "report",
    "run",
    "target",
    "write_package",
]
