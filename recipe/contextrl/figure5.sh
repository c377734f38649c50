#!/usr/bin/env bash
# The miniature figure 5 on a CPU: base, GRPO, DA-SFT, DA-RL and ContextRL on SmolLM2-135M, three seeds each.
#   bash recipe/contextrl/figure5.sh [--seeds N] [--arms ARM ...] [--jobs N] [--steps N] [--tables]
# Resumes run by run; each run leaves one row in docs/results/figure5/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
bash scripts/setup.sh
export HF_HUB_OFFLINE=1
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-2}
if [ ! -f runs/models/smollm2-135m-instruct/config.json ]; then
    .venv/bin/python -m recipe.cleaner.coldstart.fetch_smollm2
fi
exec .venv/bin/python -m recipe.contextrl.figure5 "$@"
