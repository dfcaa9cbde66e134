"""Unary calls of gRPC: what is sent for a record of records.py, and what must come back.

gRPC over HTTP/2 is a POST to /PACKAGE.SERVICE/METHOD with one message behind five bytes each way, and
trailers with grpc-status; http2.py carries it and looks at the status."""

from __future__ import annotations

from benchmarks import records
from benchmarks.generator.exchange import Wanted
from benchmarks.generator.http2 import field_block, request_pairs


def wanted(url: str, target: str, fields: tuple[tuple[str, str], ...]) -> Wanted:
    """The call for a record; a plan has no other targets for gRPC."""
    record = records.within(target)
    assert record is not None
    asked = (("content-type", "application/grpc"), ("te", "trailers"), *fields)
    head = field_block(request_pairs(url, "POST", records.METHOD, asked))
    content, answer = (
        records.framed(records.request_message(record)),
        records.framed(records.as_message(record)),
    )
    return Wanted(target, head, content, answer, 0, len(answer) + 1, len(answer))
