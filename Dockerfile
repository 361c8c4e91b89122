# The service with a model of the bundled catalogue. It needs no writable disk but /tmp:
#   docker build -t recsys-api .
#   docker run --read-only --tmpfs /tmp --cap-drop ALL -p 8000:8000 recsys-api
# A model of your own: -v "$PWD/models:/app/models:ro"

FROM python:3.11.13-slim-bookworm AS build
WORKDIR /app
COPY requirements.txt ./
COPY scripts/setup_venv.sh scripts/
RUN bash -c 'source scripts/setup_venv.sh && setup_venv requirements.txt'
COPY . .
# Building the model also compiles the kernels, into a cache that the start copies to where it may be written.
ENV NUMBA_CACHE_DIR=/app/compiled
RUN .venv/bin/python scripts/build_model.py --source bundled --output models

FROM python:3.11.13-slim-bookworm
WORKDIR /app
COPY --from=build /app /app
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin recsys
USER 10001
ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    NUMBA_CACHE_DIR=/tmp/compiled \
    RECSYS_HOST=0.0.0.0 \
    RECSYS_LOG_FORMAT=json \
    RECSYS_METRICS_DIR=/tmp/metrics
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
    CMD [".venv/bin/python", "-c", "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + os.environ.get('RECSYS_PORT', '8000') + '/health/ready', timeout=2)"]
CMD ["sh", "-c", "cp -Rp compiled /tmp/ && exec scripts/start_api.sh"]
