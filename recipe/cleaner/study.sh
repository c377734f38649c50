#!/usr/bin/env bash
# CLEANER's claims on a CPU: arms over seeds, each run until it has generated the same number of tokens.
#   bash recipe/cleaner/study.sh [--arms grpo cleaner] [--seeds 3] [--jobs 2] [--tokens 60000] [--tables]
# A run whose CSV stands in docs/results/study/ is not made again; an interrupted one resumes. --tables runs nothing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
bash scripts/setup.sh
export HF_HUB_OFFLINE=1
exec .venv/bin/python -m recipe.cleaner.study "$@"
