#!/usr/bin/env bash
# Trains the small shipped policy with CLEANER on this machine and leaves runs/quickstart/. Needs no GPU, no account.
#   bash recipe/cleaner/quickstart.sh [--smoke] [key=value ...]
# --smoke proves the same path in a few steps and leaves runs/smoke/. Run again to resume an interrupted training.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
bash scripts/setup.sh
experiment=quickstart
if [ "${1:-}" = "--smoke" ]; then
    experiment=smoke
    shift
fi
export HF_HUB_OFFLINE=1
exec .venv/bin/python -m cleartrace_verl.main --recipe recipe/cleaner "experiment=$experiment" "$@"
