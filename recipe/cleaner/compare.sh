#!/usr/bin/env bash
# GRPO against CLEANER under one budget of generated tokens, over seeds; resumable run by run.
#   bash recipe/cleaner/compare.sh [--seeds 5] [--jobs 2] [--tokens 60000]
# A run whose CSV stands in docs/results/cleaner/ is not made again. Delete the CSV to repeat it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
bash scripts/setup.sh
export HF_HUB_OFFLINE=1
exec .venv/bin/python -m recipe.cleaner.compare "$@"
