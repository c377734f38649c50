#!/usr/bin/env bash
# The published sweep of the share of pairs in as many rows: 5, 15, 20 and 50 %, one run after the other.
#   bash recipe/contextrl/sweep_fraction.sh [EXPERIMENT] [--dry-run] [key=value ...]
# EXPERIMENT is mm_qwen25vl_7b unless given. Each share reads data/contextrl/<experiment>_<share>/, which
# recipe.contextrl.mixture writes with --pair-share and --out. Results go to runs/<experiment>_share_<share>/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
[ -x .venv/bin/python ] && PYTHON=.venv/bin/python
experiment=mm_qwen25vl_7b
if [ $# -gt 0 ] && [ -f "recipe/contextrl/experiment/$1.yaml" ]; then
    experiment=$1
    shift
fi
for share in 0.05 0.15 0.20 0.50; do
    data="data/contextrl/${experiment}_$share"
    "${PYTHON:-python3}" -m cleartrace_verl.main --recipe recipe/contextrl "experiment=$experiment" \
        "cleartrace.run_dir=runs/${experiment}_share_$share" "data.train_files=$data/tasks.parquet" \
        "data.val_files=$data/val_tasks.parquet" "actor_rollout_ref.context_rl.train_files=[$data/pairs.jsonl]" \
        "actor_rollout_ref.context_rl.val_files=[$data/val_pairs.jsonl]" "$@"
done
