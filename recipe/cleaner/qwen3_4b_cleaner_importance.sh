#!/usr/bin/env bash
# Ablation of CLEANER on Qwen3-4B-RA-SFT: an importance ratio decides whether a repair is spliced.
#   bash recipe/cleaner/qwen3_4b_cleaner_importance.sh [--dry-run] [overlay=tiny] [scale=node8] [key=value ...]
# --dry-run resolves and checks the configuration anywhere and says what this machine lacks.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
[ -x .venv/bin/python ] && PYTHON=.venv/bin/python
exec "${PYTHON:-python3}" -m cleartrace_verl.main --recipe recipe/cleaner experiment=qwen3_4b_cleaner_importance "$@"
