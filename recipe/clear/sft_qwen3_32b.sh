#!/usr/bin/env bash
# CLEAR, phase 1: SFT of Qwen3-32B on guidance rows. One node, eight GPUs.
#   bash recipe/clear/sft_qwen3_32b.sh [--dry-run] [scale=node8] [key=value ...]
# --dry-run resolves and checks the configuration anywhere and says what this machine lacks.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
[ -x .venv/bin/python ] && PYTHON=.venv/bin/python
exec "${PYTHON:-python3}" -m cleartrace_verl.sft --recipe recipe/clear/sft experiment=qwen3_32b "$@"
