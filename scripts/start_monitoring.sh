#!/usr/bin/env bash
# Starts Prometheus, Alertmanager and Grafana around the service, and says where each is.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/setup_venv.sh
source scripts/setup_servers.sh

if [ "${1:-}" = "--help" ] || [ "${1:-}" = "-h" ]; then
    cat <<'HELP'
Usage: scripts/start_monitoring.sh [--native]

With Docker: the service, Prometheus, Alertmanager, Grafana and exporters for the machine and its containers, as
docker-compose.monitoring.yml has them. Without Docker, or with --native: Prometheus and Alertmanager as processes of
this machine, Grafana and node exporter too where they are installed, with the same configuration for the service that
./scripts/start_api.sh serves; what changes are the addresses in run/monitoring/prometheus.yml.

It returns once all parts are ready, and leaves none behind if one is not. ./scripts/stop_monitoring.sh stops them.

What can be set in the environment:
  RECSYS_PORT (8000)                                          with --native: where the service listens
  API_PORT (8000)                                             with Docker: the service's port
  PROMETHEUS_PORT (9090), ALERTMANAGER_PORT (9093), GRAFANA_PORT (3000)
  NODE_EXPORTER_PORT (9100)                                   with --native
  GRAFANA_USER (admin), GRAFANA_PASSWORD (admin123)           count at the very first start alone; set a better one
  BIND_ADDRESS (127.0.0.1)                                    with Docker: 0.0.0.0 to be reached from elsewhere
  PROMETHEUS_RETENTION (45d), PROMETHEUS_RETENTION_SIZE (10GB) with Docker
HELP
    exit 0
fi
case "${1:-}" in "" | --native) ;; *) echo "error: $1 is not understood; see scripts/start_monitoring.sh --help" >&2; exit 2 ;; esac

with_docker() { docker compose version >/dev/null 2>&1 && docker info >/dev/null 2>&1; }

compose() { docker compose -f docker-compose.monitoring.yml "$@"; }

if [ "${1:-}" != "--native" ] && with_docker; then
    before=$(compose ps --quiet)
    give_up() {
        [ -z "$before" ] || die "$1; what ran before was left as it is."
        compose down
        die "$1; nothing of it was left running."
    }
    trap 'trap "" INT TERM HUP; give_up "interrupted"' INT TERM HUP
    if ! compose up --detach --build --wait --wait-timeout 300; then
        compose ps --all || true
        compose logs --tail 20 || true
        give_up "the monitoring did not come up (what its parts said is above)"
    fi
    trap - INT TERM HUP
    [ -n "$before" ] || { mkdir -p run/monitoring && touch run/monitoring/started.compose; }
    cat <<WHERE

The service     http://localhost:${API_PORT:-8000}
Prometheus      http://localhost:${PROMETHEUS_PORT:-9090}/alerts
Alertmanager    http://localhost:${ALERTMANAGER_PORT:-9093}
Grafana         http://localhost:${GRAFANA_PORT:-3000}  (${GRAFANA_USER:-admin})
WHERE
    [ -n "${GRAFANA_PASSWORD:-}" ] || cat <<'WARNING'
                Its first password is admin123. GRAFANA_PASSWORD counts at the very first start alone; later it is
                docker compose -f docker-compose.monitoring.yml exec grafana grafana cli admin reset-admin-password NEW
                Change it before others can reach the port.
WARNING
    echo "./scripts/stop_monitoring.sh ends it; what was recorded stays in Docker's volumes."
    exit 0
fi

[ "${1:-}" = "--native" ] || echo "No Docker engine answers, so the parts run as processes of this machine."
python=$(find_python) || exit 1
setup_servers prometheus prometheus-alertmanager prometheus-node-exporter
exec "$python" scripts/native_monitoring.py start
