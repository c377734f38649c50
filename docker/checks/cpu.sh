# shellcheck shell=bash
# The CPU image, built by buildah on a base system from Debian's archive, and run by podman as Docker would run it.
STORE=(--root "$CACHE/store" --runroot "$CACHE/run" --storage-driver overlay)
BASE=localhost/debian:bookworm-slim
IMAGE=localhost/cleartrace:cpu
# As compose.cpu.yaml: an unprivileged user, no capability, nothing written beside the mounts. And no network.
CONFINED=(--network none --cap-drop all --security-opt no-new-privileges --read-only --no-healthcheck --shm-size 2g)
CONFINED+=(--tmpfs "/tmp:rw,exec,nosuid,nodev,size=4g,mode=1777" --pids-limit -1)
# podman would raise these beyond what this shell may have.
CONFINED+=(--ulimit nofile=4096:4096 --ulimit nproc=8192:8192)

podman_here() { podman "${STORE[@]}" --runtime runc --cgroup-manager cgroupfs "$@"; }

base_image() {
    podman_here image exists "$BASE" && return
    local root=$CACHE/bookworm
    rm -rf "$root"
    debootstrap --variant=minbase --include=ca-certificates bookworm "$root" http://deb.debian.org/debian >"$CACHE/debootstrap.log"
    tar -C "$root" -c . | podman_here import --quiet - "$BASE" >/dev/null
    rm -rf "$root"
}

# pip in the build looks where this machine's pip was told to: its extra files, its certificates.
pip_of_this_machine() {
    echo "[global]"
    [ -z "${PIP_FIND_LINKS:-}" ] || echo "find-links = $PIP_FIND_LINKS"
    [ -z "${PIP_CERT:-}" ] || echo "cert = /etc/pip-certificates.pem"
}

build() {
    local mounts=(--volume "$CACHE/pip.conf:/etc/pip.conf:ro")
    pip_of_this_machine >"$CACHE/pip.conf"
    [ -z "${PIP_FIND_LINKS:-}" ] || mounts+=(--volume "$PIP_FIND_LINKS:$PIP_FIND_LINKS:ro")
    [ -z "${PIP_CERT:-}" ] || mounts+=(--volume "$PIP_CERT:/etc/pip-certificates.pem:ro")
    # Its isolation shares this machine's network, for apt and pip; a network of its own wants more rights.
    buildah "${STORE[@]}" bud --isolation chroot --layers --format docker --build-arg "BASE_IMAGE=$BASE" \
        "${mounts[@]}" -f docker/cpu/Dockerfile -t "$IMAGE" .
}

# Docker's own filter of system calls; podman's differs, and the level that the judge reaches hangs on it.
docker_filter() {
    .venv/bin/python - "$CACHE/seccomp.json" <<'PYTHON'
import json, sys
sys.path.insert(0, "tests/code_judge")
from docker_seccomp import default_profile
open(sys.argv[1], "w").write(json.dumps(default_profile(())))
PYTHON
}

cpu() {
    for tool in debootstrap buildah podman runc; do
        command -v "$tool" >/dev/null || { say "needs $tool: apt-get install $tool"; return 1; }
    done
    base_image
    build
    docker_filter
    local run=(run --rm "${CONFINED[@]}" --security-opt "seccomp=$CACHE/seccomp.json")
    say "who the container is, and which isolation the judge has in it"
    podman_here "${run[@]}" "$IMAGE" sh -c 'id && code-judge doctor'
    say "training in the container"
    rm -rf "$CACHE/runs"
    install -d -o 1001 -g 1001 "$CACHE/runs"
    podman_here "${run[@]}" -v "$CACHE/runs:/opt/cleartrace/runs" "$IMAGE" bash recipe/cleaner/quickstart.sh --smoke
    test -s "$CACHE/runs/smoke/report.html"
    say "the health check, fresh and after an hour without a word"
    podman_here "${run[@]}" -v "$CACHE/runs:/opt/cleartrace/runs" "$IMAGE" python docker/trainer/health.py runs
    touch -d "2 hours ago" "$CACHE"/runs/smoke/*
    ! podman_here "${run[@]}" -v "$CACHE/runs:/opt/cleartrace/runs" "$IMAGE" python docker/trainer/health.py runs
    podman_here images "$IMAGE"
}
