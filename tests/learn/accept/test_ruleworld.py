"""A16 on few seeds; `python -m benchmarks.rcl_ruleworld` does it on 200."""

from recipe.rcl.study.acceptance import compare


def test_a16_paired_acceptance_keeps_few_harmful_edits_and_is_no_worse_than_keeping_all():
    outcomes = [compare(seed, iterations=20) for seed in range(3)]
    assert all(one.paired.success >= one.always.success and one.paired.success >= one.long.success for one in outcomes)
    kept, judged = (sum(getattr(one.paired, what) for one in outcomes) for what in ("kept_harmful", "harmful"))
    assert judged >= 15 and kept / judged < 0.05
    assert sum(one.always.kept_harmful for one in outcomes) == sum(one.always.harmful for one in outcomes) > 15
    useful, seen = (sum(getattr(one.paired, what) for one in outcomes) for what in ("kept_useful", "useful"))
    assert useful / seen > 0.6
    assert compare(0, iterations=2) == compare(0, iterations=2)
