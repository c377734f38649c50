#!/usr/bin/env bash
# CLEAR in miniature on a CPU: runs, reflections, SFT, GRPO and the comparison of six arms, for one seed.
#   bash recipe/clear/ruleworld.sh [--seed N] [--grpo-steps N] [--charged]
# --charged rewards the gain over no guidance less a cost of tokens, and compares three arms.
# The same command goes on after a kill. Results: runs/clear/ruleworld/seed<N>[-charged]/comparison.md, runs.csv, seconds.csv.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
bash scripts/setup.sh
export HF_HUB_OFFLINE=1
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-2}
if [ ! -f runs/models/smollm2-135m-instruct/config.json ]; then
    .venv/bin/python -m recipe.cleaner.coldstart.fetch_smollm2
fi
exec .venv/bin/python -m recipe.clear.ruleworld "$@"
