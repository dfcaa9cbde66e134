"""Fixtures of this folder; they live in a module with a unique name, so that tests can import from it."""

from upstream_raw_origin import certificate, client, names, origin

__all__ = ["certificate", "client", "names", "origin"]
