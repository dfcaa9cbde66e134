"""What all connections of one listener share."""

from serving_stand import service_of

from edgeproxy.config import Limits


def test_a_service_starts_out_serving() -> None:
    service, _ = service_of()
    assert not service.draining
    assert service.scheme == "http"


def test_each_service_has_names_and_a_memory_of_its_own() -> None:
    one, other = service_of()[0], service_of()[0]
    assert one.ids.make() != other.ids.make()
    assert one.memo is not other.memo
    assert one.date.at(0.0) == other.date.at(0.0)


def test_nothing_is_trusted_unless_named() -> None:
    service, _ = service_of(limits=Limits(memo=0), trusted=["192.0.2.0/24"])
    assert "192.0.2.7" in service.trusted
    assert "192.0.3.7" not in service.trusted
    assert not service_of()[0].trusted
