#!/usr/bin/env bash
# GRPO against CLEANER at equal numbers of generated tokens, over seeds: two arms of the study, resumable run by run.
#   bash recipe/cleaner/compare.sh [--seeds 5] [--jobs 2] [--tokens 60000] [--tables]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
exec bash recipe/cleaner/study.sh --arms grpo cleaner "$@"
