#!/usr/bin/env bash
# Checks the deployment files as far as a machine without Docker can.
#   bash docker/check.sh lint   # linters and schemas, downloaded into .cache/docker-check
#   bash docker/check.sh pins   # every pin of both trainer images has a file for Python 3.12, x86_64; nothing is kept
#   bash docker/check.sh cpu    # builds docker/cpu/Dockerfile on Debian's base system and trains in the container
# cpu needs root, debootstrap, buildah, podman and runc (Debian packages) and 12 GB of disk; about 10 minutes.
# PIP_FIND_LINKS (a folder) and PIP_CERT (a file), if set, hold for pip in the build too.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

CACHE=$PWD/.cache/docker-check
TOOLS=$CACHE/tools
mkdir -p "$CACHE"
# shellcheck source=docker/checks/lint.sh
. docker/checks/lint.sh
# shellcheck source=docker/checks/pins.sh
. docker/checks/pins.sh
# shellcheck source=docker/checks/cpu.sh
. docker/checks/cpu.sh

say() { echo "check: $*" >&2; }

# Pinned, so that a rule of a newer linter never fails an unchanged tree.
tools() {
    [ -x "$TOOLS/bin/python" ] || python3 -m venv "$TOOLS"
    "$TOOLS/bin/python" -m pip install --quiet --disable-pip-version-check -r docker/checks/requirements.txt
}

case "${1:-}" in
    lint) tools; lint ;;
    pins) tools; pins ;;
    cpu) cpu ;;
    *) sed -n '2,7s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac
say "$1: passed"
