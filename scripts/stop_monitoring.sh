#!/usr/bin/env bash
# Stops what start_monitoring.sh has started, and nothing else. What was recorded stays.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/setup_venv.sh

if [ "${1:-}" = "--help" ] || [ "${1:-}" = "-h" ]; then
    cat <<'HELP'
Usage: scripts/stop_monitoring.sh

Stops the parts that scripts/start_monitoring.sh has started. Their data stays: in Docker's volumes (docker compose -f
docker-compose.monitoring.yml down --volumes deletes them), or in run/monitoring/.
HELP
    exit 0
fi
[ $# -eq 0 ] || { echo "error: $1 is not understood; see scripts/stop_monitoring.sh --help" >&2; exit 2; }

if [ -e run/monitoring/started.compose ]; then
    docker compose -f docker-compose.monitoring.yml down
    rm -f run/monitoring/started.compose
    [ -e run/monitoring/started.json ] || exit 0
fi
python=$(find_python) || exit 1
exec "$python" scripts/native_monitoring.py stop
