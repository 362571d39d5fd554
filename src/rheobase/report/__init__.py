"""A run as one self-contained page: headline numbers, figures, tables and how to reproduce them.

>>> from rheobase.report import Arm, ReportData, render
>>> page = render(ReportData("digits", arms=[Arm("baseline", accuracy_at=[0.8, 0.9])]))
>>> "90.0%" in page
True
"""

from rheobase.report.collect import collect
from rheobase.report.data import Arm, LayerCost, ProgramFacts, Raster, ReportData, Samples, State
from rheobase.report.gaze import Gaze, GazeSample
from rheobase.report.render import render, write_report
from rheobase.report.spike_times import SpikeSample, SpikeTimes

__all__ = [
    "Arm",
    "Gaze",
    "GazeSample",
    "LayerCost",
    "ProgramFacts",
    "Raster",
    "ReportData",
    "Samples",
    "SpikeSample",
    "SpikeTimes",
    "State",
    "collect",
    "render",
    "write_report",
]
