"""The offline run report: one HTML file with the curves, the final table and every trajectory of a run."""

from cleartrace.report.build import build_report
from cleartrace.report.compare import build_comparison
from cleartrace.report.load import ReportError

__all__ = ["ReportError", "build_comparison", "build_report"]
