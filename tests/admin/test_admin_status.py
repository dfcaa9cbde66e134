from edgeproxy.admin.status import store_status, traffic_status
from edgeproxy.metrics import Metrics
from edgeproxy.storage.store import StoreStatistics


def test_traffic_is_a_row_for_each_site_with_its_hit_ratio() -> None:
    metrics = Metrics()
    metrics.count("requests_total", "b", "hit", "200", by=6)
    metrics.count("requests_total", "b", "hit", "304")
    metrics.count("requests_total", "b", "stale", "200")
    metrics.count("requests_total", "b", "miss", "200", by=2)
    metrics.count("requests_total", "b", "bypass", "200", by=90)
    metrics.count("requests_total", "a", "local", "404")
    metrics.count("client_bytes_total", "b", by=1000)
    metrics.count("upstream_bytes_total", "b", by=200)
    a, b = traffic_status(metrics)
    assert a == {
        "site": "a",
        "requests": 1,
        "local": 1,
        "hit_ratio": None,
        "client_bytes": 0,
        "upstream_bytes": 0,
    }
    assert b == {
        "site": "b",
        "requests": 100,
        "hit": 7,
        "stale": 1,
        "miss": 2,
        "bypass": 90,
        "hit_ratio": 0.8,
        "client_bytes": 1000,
        "upstream_bytes": 200,
    }


def test_the_store_is_told_under_the_names_of_its_statistics() -> None:
    told = store_status(StoreStatistics(1, 2, 3, 4, 5, 6, 7, 8, 9, "ok"))
    assert told["memory_bytes"] == 1
    assert told["disk_bytes_max"] == 5
    assert told["disk_state"] == "ok"
