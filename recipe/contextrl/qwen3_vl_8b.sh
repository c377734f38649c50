#!/usr/bin/env bash
# ContextRL on Qwen3-VL-8B, questions about images. One node, four GPUs, vLLM.
#   bash recipe/contextrl/qwen3_vl_8b.sh [--dry-run] [overlay=rl_matched] [scale=node8] [key=value ...]
# --dry-run resolves and checks the configuration anywhere and says what this machine lacks.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
[ -x .venv/bin/python ] && PYTHON=.venv/bin/python
exec "${PYTHON:-python3}" -m cleartrace_verl.main --recipe recipe/contextrl experiment=mm_qwen3vl_8b "$@"
