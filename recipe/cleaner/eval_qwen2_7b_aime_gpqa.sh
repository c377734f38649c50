#!/usr/bin/env bash
# GPQA, AIME24 and AIME25 with a 7B policy, n = 32, with and without rollback.
# Trains nothing; one node, four GPUs, SGLang. docs/evaluation.md has the way without Ray.
#   bash recipe/cleaner/eval_qwen2_7b_aime_gpqa.sh [--dry-run] [actor_rollout_ref.model.path=MODEL] [key=value ...]
# --dry-run resolves and checks the configuration anywhere and says what this machine lacks.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
[ -x .venv/bin/python ] && PYTHON=.venv/bin/python
exec "${PYTHON:-python3}" -m cleartrace_verl.main --recipe recipe/cleaner experiment=eval_qwen2_7b_aime_gpqa "$@"
