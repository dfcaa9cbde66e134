"""edgeproxy: a caching reverse proxy for the edge."""

__version__ = "0.1.0"
