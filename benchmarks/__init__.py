"""Measurements of a running node beside other caches, one file a question; see README.md."""
