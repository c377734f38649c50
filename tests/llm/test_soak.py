"""A9 at length: the soak of `benchmarks/llm_soak.py`, short. Endpoints that never answer are left to the long one."""

from pathlib import Path

from benchmarks.llm_soak import FAULTS, report, soak


def test_a9_no_work_is_lost_and_no_token_uncounted_over_a_kill_and_a_budget(tmp_path: Path) -> None:
    done = soak(300, tmp_path, seed=0, timeout_s=60, faults={**FAULTS, "TimedOut": 0.0})
    assert done.problems == []
    killed, budget, finished = done.rows
    assert killed.requests >= 100 and budget.stopped_by_budget > 50 and finished.cached > 100
    assert finished.replies + finished.cached + finished.refused + finished.rejected + finished.gave_up == 300
    report(done, tmp_path / "soak.csv")
    assert (tmp_path / "soak.csv").read_text().startswith("phase,replies")
