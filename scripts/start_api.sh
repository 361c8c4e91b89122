#!/usr/bin/env bash
# Sets everything up and serves. A second start finds everything in place.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/setup_venv.sh

if [ "${1:-}" = "--help" ] || [ "${1:-}" = "-h" ]; then
    cat <<'HELP'
Usage: scripts/start_api.sh

Sets up .venv, builds a model from the bundled catalogue if there is none, and serves the API with gunicorn.

  new model   kill -HUP $(cat run/metrics/gunicorn.pid)      takes it into service without losing a request
  stop        Ctrl-C, or kill $(cat run/metrics/gunicorn.pid)

What can be set, in the environment or in config/recsys.env (the environment wins):
HELP
    grep -v '^# Copy' config/recsys.env.example
    exit 0
fi
[ $# -eq 0 ] || { echo "error: $1 is not understood; see scripts/start_api.sh --help" >&2; exit 2; }

# NAME=value lines; nothing in the file is ever executed. Surrounding blanks and quotes do not belong to the value.
read_settings() {
    local file=$1 line name value number=0
    [ -f "$file" ] && [ -r "$file" ] || die "$file cannot be read; it has to be a file with lines of NAME=value."
    while IFS= read -r line || [ -n "$line" ]; do
        number=$((number + 1))
        line=${line%$'\r'}
        [ $number -gt 1 ] || line=${line#$'\xef\xbb\xbf'}
        [[ $line =~ ^[[:space:]]*(#.*)?$ ]] && continue
        [[ $line =~ ^[[:space:]]*(export[[:space:]]+)?([A-Za-z_][A-Za-z_0-9]*)[[:space:]]*=[[:space:]]*(.*)$ ]] ||
            die "$file:$number: '$line' is not NAME=value."
        name=${BASH_REMATCH[2]} value=${BASH_REMATCH[3]}
        value=${value%"${value##*[![:space:]]}"}
        case $value in \"*\" | \'*\') value=${value:1:${#value}-2} ;; esac
        [ -n "${!name+set}" ] || export "$name=$value"
    done <"$file"
}
[ ! -e config/recsys.env ] || read_settings config/recsys.env

export WEB_CONCURRENCY="${WEB_CONCURRENCY:-2}"
[[ $WEB_CONCURRENCY =~ ^[1-9][0-9]{0,2}$ ]] ||
    die "WEB_CONCURRENCY='$WEB_CONCURRENCY' cannot be used: it is the number of worker processes, from 1 to 999."

setup_venv requirements.txt

# A model that is gone, or built and not current, is for a person to look at; only a fresh clone gets the bundled one.
if [ "${RECSYS_MODEL_DIR:-models/current}" = models/current ] && [ ! -L models/current ] &&
    [ -z "$(ls -A models 2>/dev/null)" ]; then
    echo "Building a model from the bundled catalogue ..."
    .venv/bin/python scripts/build_model.py --source bundled --output models
fi

metrics_dir=${RECSYS_METRICS_DIR:-run/metrics}
mkdir -p "$metrics_dir" || die "cannot create $metrics_dir; set RECSYS_METRICS_DIR to a folder that can be written."

# The lock is held as long as gunicorn or a worker runs: a second start must not empty the folder under a running
# service. Workers whose master was killed end within a second or two, hence the wait.
if command -v flock >/dev/null; then
    exec 9>"$metrics_dir/lock" || die "cannot write to $metrics_dir; set RECSYS_METRICS_DIR to another folder."
    if ! flock --nonblock 9; then
        pid=$(cat "$metrics_dir/gunicorn.pid" 2>/dev/null || echo unknown)
        in_use="a service runs already (process $pid) and counts in $metrics_dir; stop it, or set RECSYS_PORT and \
RECSYS_METRICS_DIR to run another beside it."
        ! kill -0 "$pid" 2>/dev/null || die "$in_use"
        flock --wait 5 9 || die "$in_use"
    fi
fi
rm -f -- "$metrics_dir"/{counter,gauge,histogram,summary}_*.db "$metrics_dir/cache.generation"

# Where the compiled kernels cannot be kept beside the code, they are kept beside the metrics.
if [ ! -w recsys_api/model ] && [ ! -e recsys_api/model/__pycache__ ] && [ -z "${NUMBA_CACHE_DIR:-}" ]; then
    export NUMBA_CACHE_DIR="$metrics_dir/compiled"
fi

exec .venv/bin/python -m gunicorn --config config/gunicorn.conf.py
