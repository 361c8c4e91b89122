"""What is like what: from fields of text to exact neighbours. Knows nothing of HTTP or metrics."""
