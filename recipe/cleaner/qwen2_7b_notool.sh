#!/usr/bin/env bash
# The baseline without a tool, on Qwen2.5-7B. One node, four GPUs, SGLang.
#   bash recipe/cleaner/qwen2_7b_notool.sh [--dry-run] [overlay=tiny] [scale=node8] [key=value ...]
# --dry-run resolves and checks the configuration anywhere and says what this machine lacks.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
[ -x .venv/bin/python ] && PYTHON=.venv/bin/python
exec "${PYTHON:-python3}" -m cleartrace_verl.main --recipe recipe/cleaner experiment=qwen2_7b_notool "$@"
