"""The node's own log: lines on standard error, for people on a terminal, JSON elsewhere."""

from __future__ import annotations

import logging
import sys

import structlog


def configure_log(level: str) -> None:
    """From now on, in this process; loggers that exist already follow."""
    terminal = sys.stderr.isatty()
    # It warns of what is normal here: writes to clients that left, connections without kernel TLS.
    logging.getLogger("aiofastnet").setLevel(logging.ERROR)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.dev.ConsoleRenderer() if terminal else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
