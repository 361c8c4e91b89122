"""A dashboard drawn from its JSON and a live Prometheus, laid out as Grafana does; no Grafana is needed."""
