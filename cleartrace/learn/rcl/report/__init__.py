"""The page of an RCL run: learning curves, and the story of every entry of the playbook."""

from cleartrace.learn.rcl.report.page import build_page, is_run

__all__ = ["build_page", "is_run"]
