#!/usr/bin/env bash
# Checks the deployment files as far as a machine without Docker can.
#   bash docker/check.sh lint             # linters and schemas, downloaded into .cache/docker-check
#   bash docker/check.sh pins             # the pins of both trainer images are current and can be had; keeps nothing
#   bash docker/check.sh cpu              # builds the CPU image on Debian's base system and trains in the container
#   bash docker/check.sh rollout ENV      # builds the rollout endpoint's image for an environment; ruleworld also runs
#   bash docker/check.sh trainer ENGINE   # builds sglang's or vllm's image on a stand-in for NVIDIA's, without flash-attn
# cpu, rollout and trainer need root, debootstrap, buildah, podman and runc (Debian packages), and 15, 3 or 40 GB of disk.
# PIP_FIND_LINKS (a folder) and PIP_CERT (a file), if set, hold for pip in the builds too.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

CACHE=$PWD/.cache/docker-check
TOOLS=$CACHE/tools
mkdir -p "$CACHE"
for part in containers lint pins cpu rollout trainer; do
    # shellcheck disable=SC1090  # each is checked by itself
    . "docker/checks/$part.sh"
done

say() { echo "check: $*" >&2; }

# Pinned, so that a rule of a newer linter never fails an unchanged tree.
tools() {
    [ -x "$TOOLS/bin/python" ] || python3 -m venv "$TOOLS"
    "$TOOLS/bin/python" -m pip install --quiet --disable-pip-version-check -r docker/checks/requirements.txt
}

case "${1:-} ${2:-}" in
    "lint ") tools; lint ;;
    "pins ") tools; pins ;;
    "cpu ") cpu ;;
    "rollout ruleworld" | "rollout appworld") rollout "$2" ;;
    "trainer sglang" | "trainer vllm") trainer "$2" ;;
    *) sed -n '2,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac
say "$*: passed"
