"""The application for WSGI servers: `gunicorn -c config/gunicorn.conf.py wsgi:app`."""
from recsys_api import create_app

app = create_app()
