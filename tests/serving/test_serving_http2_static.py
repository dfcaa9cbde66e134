from jh2.hpack.table import HeaderTable

from edgeproxy.serving.http2_static import STATIC


def test_it_is_the_table_that_others_have() -> None:
    assert [(bytes(name), bytes(value)) for name, value in HeaderTable.STATIC_TABLE] == list(STATIC)
