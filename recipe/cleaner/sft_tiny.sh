#!/usr/bin/env bash
# Cold start on a CPU, end to end: writes demonstrations once, then trains the shipped policy on them.
# Leaves runs/sft_tiny/; needs no GPU and no download.
#   bash recipe/cleaner/sft_tiny.sh [--dry-run] [key=value ...]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
[ -x .venv/bin/python ] && PYTHON=.venv/bin/python
if [ ! -f runs/sft_tiny/data/train.parquet ]; then
    "${PYTHON:-python3}" -m recipe.cleaner.sft.write_demonstrations --out runs/sft_tiny/data
fi
exec "${PYTHON:-python3}" -m cleartrace_verl.sft --recipe recipe/cleaner/sft experiment=sft_tiny "$@"
