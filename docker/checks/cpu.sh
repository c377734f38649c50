# shellcheck shell=bash
# The CPU image, whole: every step of docker/cpu/Dockerfile, then the judge and a training in the container.

cpu() {
    need_container_tools
    local image=localhost/cleartrace:cpu base=localhost/debian:bookworm-slim
    base_image "$base" ca-certificates
    build docker/cpu/Dockerfile "$image" "$base"
    docker_filter
    rm -rf "$CACHE/runs"
    install -d -o 1001 -g 1001 "$CACHE/runs"
    local run=(run --rm "${CONFINED[@]}" --security-opt "seccomp=$CACHE/seccomp.json")
    run+=(--volume "$CACHE/runs:/opt/cleartrace/runs" "$image")
    say "who the container is, and which isolation the judge has in it"
    podman_here "${run[@]}" sh -c 'id && code-judge doctor'
    say "training in the container"
    podman_here "${run[@]}" bash recipe/cleaner/quickstart.sh --smoke
    test -s "$CACHE/runs/smoke/report.html"
    say "the health check, fresh and after two hours without a word"
    podman_here "${run[@]}" python docker/trainer/health.py runs
    touch -d "2 hours ago" "$CACHE"/runs/smoke/*
    ! podman_here "${run[@]}" python docker/trainer/health.py runs
    podman_here images "$image"
}
