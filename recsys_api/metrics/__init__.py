"""Every number that the service tells about itself, exact over all workers."""
from recsys_api.metrics.extension import Metrics

__all__ = ["Metrics"]
