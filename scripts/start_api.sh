#!/usr/bin/env bash
# Sets everything up and serves. A second start finds everything in place.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ "${1:-}" = "--help" ] || [ "${1:-}" = "-h" ]; then
    cat <<'HELP'
Usage: scripts/start_api.sh

Sets up .venv, builds a model from the bundled catalogue if there is none, and serves the API with gunicorn.

What can be set, in the environment or in config/recsys.env (the environment wins):
HELP
    grep -v '^# Copy' config/recsys.env.example
    exit 0
fi
[ $# -eq 0 ] || { echo "error: $1 is not understood; see scripts/start_api.sh --help" >&2; exit 2; }

if [ -f config/recsys.env ]; then
    while IFS='=' read -r name value; do
        case $name in '' | \#*) continue ;; esac
        [ -n "${!name+set}" ] || export "$name=$value"
    done <config/recsys.env
fi

source scripts/setup_venv.sh
setup_venv requirements.txt

if [ -z "${RECSYS_MODEL_DIR:-}" ] && [ ! -e models/current ]; then
    echo "Building a model from the bundled catalogue ..."
    .venv/bin/python scripts/build_model.py --source bundled --output models
fi

# The lock is held as long as gunicorn or a worker runs: a second start must not empty the folder under a running
# service. Workers whose master was killed end within a second or two, hence the wait.
metrics_dir=${RECSYS_METRICS_DIR:-run/metrics}
mkdir -p "$metrics_dir" || die "cannot create $metrics_dir; set RECSYS_METRICS_DIR to a folder that can be written."
if command -v flock >/dev/null; then
    exec 9>"$metrics_dir/lock" || die "cannot write to $metrics_dir; set RECSYS_METRICS_DIR to another folder."
    flock --wait 5 9 || die "a running service counts in $metrics_dir; stop it, or set RECSYS_METRICS_DIR (and \
RECSYS_PORT) to run another beside it."
fi
rm -f -- "$metrics_dir"/*.db "$metrics_dir/cache.generation"

export WEB_CONCURRENCY="${WEB_CONCURRENCY:-2}"
exec .venv/bin/gunicorn --config config/gunicorn.conf.py
