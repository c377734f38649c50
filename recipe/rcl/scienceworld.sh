#!/usr/bin/env bash
# RCL on ScienceWorld (`cleartrace environments install scienceworld`; needs Java).
#   bash recipe/rcl/scienceworld.sh --model PROVIDER/MODEL [--dry-run] [--config recipe/rcl/primitive/NAME.yaml] [--SETTING VALUE]
# --dry-run prints the settings and runs nothing. Leaves runs/rcl-scienceworld/; go on with --resume runs/rcl-scienceworld.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
[ -x .venv/bin/python ] && PYTHON=.venv/bin/python
for word in "$@"; do
    # A run that goes on has its settings already.
    [[ $word == --resume* ]] && exec "${PYTHON:-python3}" -m cleartrace.cli optimize "$@"
done
exec "${PYTHON:-python3}" -m cleartrace.cli optimize --config recipe/rcl/scienceworld.yaml "$@"
