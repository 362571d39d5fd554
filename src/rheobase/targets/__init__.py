"""Programs on microcontrollers: built with cross compilers, run on emulated machines, counted in instructions."""

from rheobase.targets.image import Image, build
from rheobase.targets.machine import Execution, profile, run
from rheobase.targets.target import TARGETS, Target, ToolError, missing, target

__all__ = [
    "TARGETS",
    "Execution",
    "Image",
    "Target",
    "ToolError",
    "build",
    "missing",
    "profile",
    "run",
    "target",
]
