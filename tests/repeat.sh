#!/usr/bin/env bash
# Runs tests again and again with every processor loaded, and stops at the first failure.
#
#   tests/repeat.sh [TIMES [SECONDS [PACKAGE]]]     default: 200 times, at most 3600 s, airlift-runtime
#
# A test that needs luck, or time that it does not get, does not survive this. Tests of random programs run others in
# each pass.
set -euo pipefail
cd "$(dirname "$0")/.."
times=${1:-200} seconds=${2:-3600} package=${3:-airlift-runtime}

mapfile -t binaries < <(cargo test -p "$package" --lib --tests --no-run 2>&1 |
    sed -n 's/^ *Executable .*(\(.*\))$/\1/p')
[ "${#binaries[@]}" -gt 0 ] || { echo "no test of $package was built" >&2; exit 1; }

load=()
cleanup() { kill "${load[@]}" 2>/dev/null || true; }
trap cleanup EXIT
for _ in $(seq "$(nproc)"); do
    (while :; do :; done) &
    load+=($!)
done

log=$(mktemp)
# Many tests panic on purpose, and finding names for a stack takes longer than all the rest of them.
export RUST_BACKTRACE=0
start=$SECONDS
for ((pass = 1; pass <= times; pass++)); do
    export AIRLIFT_MODEL_SEED=$pass
    for binary in "${binaries[@]}"; do
        if ! timeout 600 "$binary" --quiet >"$log" 2>&1; then
            cat "$log"
            echo "$binary failed in pass $pass" >&2
            exit 1
        fi
    done
    if ((SECONDS - start >= seconds)); then
        echo "the time is up after $pass passes of ${#binaries[@]} test programs, none failed"
        exit 0
    fi
done
echo "$times passes of ${#binaries[@]} test programs in $((SECONDS - start)) s, none failed"
