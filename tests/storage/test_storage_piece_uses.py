"""Pieces that were read last go last."""

from __future__ import annotations

from edgeproxy.storage import piece_uses
from edgeproxy.storage.piece_uses import PieceUses

PIECE = 4 << 20


def test_unknown_pieces_go_first_from_the_end_then_the_least_recently_read():
    uses = PieceUses()
    uses.used("b", 3 * PIECE, 3 * PIECE + 1)
    uses.used("b", PIECE, PIECE + 1)
    uses.used("other", 0, 1)
    assert uses.least_recent("b", [0, 1, 2, 3, 4]) == [4, 2, 0, 3, 1]


def test_what_is_remembered_is_bounded(monkeypatch):
    monkeypatch.setattr(piece_uses, "REMEMBERED_MAX", 3)
    uses = PieceUses()
    for piece in range(10):
        uses.used("b", piece * PIECE, piece * PIECE + 1)
    assert uses.least_recent("b", list(range(10)))[-3:] == [7, 8, 9]
    assert len(uses._uses) == 3
