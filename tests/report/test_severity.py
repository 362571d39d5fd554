"""The plot of the noise suite."""

import re

from rheobase.report.figures.severity import severity_plot


def test_a_line_for_each_kind_and_nothing_of_the_moment():
    curves = {"hot pixels": [(0.0, 1.0), (0.1, 0.5)], "a $ of loss": [(0.0, 1.0), (0.2, 0.25)]}
    one = severity_plot(curves, "noise score 38 %")
    assert one == severity_plot(curves, "noise score 38 %")
    assert one.startswith("<?xml") and all(kind in one for kind in curves) and "noise score" in one
    fewer = severity_plot({"hot pixels": curves["hot pixels"]}, "noise score 38 %")
    assert len(re.findall("<path", one)) > len(re.findall("<path", fewer))
