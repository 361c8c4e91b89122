"""The Grafana dashboards of the service, as code; scripts/build_dashboards.py makes their JSON."""
