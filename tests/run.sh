#!/usr/bin/env bash
# Everything a submission must pass: setup, ruff, pyright, pytest. Extra arguments go to pytest.
# Every check runs even when an earlier one failed; the exit status says whether all passed.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} OMP_WAIT_POLICY=PASSIVE
export HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false PYTHONUNBUFFERED=1

bash scripts/setup.sh || exit 1
failed=()
check() {
    local name=$1
    shift
    echo "== $name"
    "$@" || failed+=("$name")
}

check "ruff" .venv/bin/python -m ruff check .
check "pyright" .venv/bin/python -m pyright
check "pytest" .venv/bin/python -m pytest -m "not slow" --durations=15 "$@"

if [ ${#failed[@]} -gt 0 ]; then
    echo "failed: ${failed[*]}" >&2
    exit 1
fi
