#!/usr/bin/env bash
# Agentic cold start of Qwen3-4B-Instruct-2507: the start model of the RL recipes. One node, eight GPUs.
#   bash recipe/cleaner/sft_qwen3_4b.sh [--dry-run] [overlay=tiny] [scale=node4] [key=value ...]
# --dry-run resolves and checks the configuration anywhere and says what this machine lacks.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
[ -x .venv/bin/python ] && PYTHON=.venv/bin/python
exec "${PYTHON:-python3}" -m cleartrace_verl.sft --recipe recipe/cleaner/sft experiment=sft_qwen3_4b "$@"
