"""Build the report of one run folder."""

from __future__ import annotations

from pathlib import Path

from cleartrace.data.files import whole_file
from cleartrace.report.html import render_html
from cleartrace.report.load import load_run
from cleartrace.report.summary import summarise


def build_report(run_dir: Path) -> Path:
    """Write `run_dir/report.html` and return its path; an older report is replaced in one step.

    Raises:
        ReportError: the folder is missing, empty, or written with an unknown schema version.
    """
    run = load_run(run_dir)
    return write_whole(Path(run_dir) / "report.html", render_html(run, summarise(run)))


def write_whole(path: Path, text: str) -> Path:
    """Write a file so that no reader ever sees half of it."""
    with whole_file(path) as part:
        part.write_text(text, encoding="utf-8", errors="backslashreplace")
    return path
