#!/usr/bin/env bash
# DemyAgent's settings on Qwen2.5-7B-RA-SFT. One node, eight GPUs, vLLM.
#   bash recipe/cleaner/demyagent_qwen2_7b.sh [--dry-run] [overlay=tiny] [scale=node8] [key=value ...]
# --dry-run resolves and checks the configuration anywhere and says what this machine lacks.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
[ -x .venv/bin/python ] && PYTHON=.venv/bin/python
exec "${PYTHON:-python3}" -m cleartrace_verl.main --recipe recipe/cleaner experiment=demyagent_qwen2_7b "$@"
