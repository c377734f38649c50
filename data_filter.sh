#!/usr/bin/env bash
# Keeps a share of the rows of each success rate, as published: none that never or always succeed, 80 % of 1/8, 90 % of 2/8.
#   bash data_filter.sh --stats FILE.jsonl --dataset FILE.parquet --output_dir DIR
#       [--success_rate_ratios "rate:share,..."] [--retain_code] [--seed N] [--legacy-draw]
# Writes DIR/filtered_sr.parquet. docs/data.md explains the options.
set -euo pipefail
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
[ -x "$HERE/.venv/bin/python" ] && PYTHON=$HERE/.venv/bin/python
RATIOS="0:0,0.125:0.8,0.25:0.9,0.375:1,0.5:1,0.625:1,0.75:1,0.875:1,1:0"
exec "${PYTHON:-python3}" -m cleartrace.cli data filter --success_rate_ratios "$RATIOS" "$@"
