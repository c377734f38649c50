#!/usr/bin/env bash
# Rewrites requirements.txt from the two pyproject files. Pins that still fit are kept, so an update is small.
# Usage: scripts/lock.sh [package ...]    upgrades the named packages to their newest fitting version
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

command -v uv >/dev/null || { echo "lock: needs uv (pip install uv)" >&2; exit 1; }

upgrades=()
for package in "$@"; do upgrades+=(--upgrade-package "$package"); done

# Left to pip: torch's CUDA packages (a CPU build of the same torch has none) and our own distributions.
omit=(code-judge cleartrace triton cuda-bindings cuda-pathfinder cuda-toolkit)
omit+=(nvidia-{cublas,cuda-cupti,cuda-nvrtc,cuda-runtime,cudnn-cu13,cufft,cufile,curand,cusolver,cusparse}
       nvidia-{cusparselt-cu13,nccl-cu13,nvjitlink,nvshmem-cu13,nvtx})
flags=()
for package in "${omit[@]}"; do flags+=(--no-emit-package "$package"); done

sources=$(mktemp)
body=$(mktemp)
trap 'rm -f "$sources" "$body"' EXIT
printf '%s\n' "-e ./code-judge[dev]" "-e .[clear,cpu,dev,gepa,llm]" >"$sources"
[ ! -f requirements.txt ] || cp requirements.txt "$body"

uv pip compile --quiet --universal --python-version 3.10 --no-header --no-annotate --upgrade-package pip \
    "${flags[@]}" "${upgrades[@]}" --output-file "$body" "$sources"

{
    echo "# The CPU quickstart and the tests, pinned for Python 3.10 to 3.12 on Linux."
    echo "# Written by scripts/lock.sh from pyproject.toml[clear,cpu,dev,gepa,llm] and code-judge/pyproject.toml. Do not edit."
    grep -v '^#' "$body" | sed -E 's/==([^ ;+]+)\+cpu/==\1/' | grep -v '^-e '
} >requirements.txt
echo "lock: $(grep -c == requirements.txt) pins in requirements.txt"
