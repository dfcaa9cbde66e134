from dataclasses import replace

from upstream_town import Town, request, says

from edgeproxy.upstream.lanes import Lanes


async def test_bulk_and_small_go_to_clients_of_their_own() -> None:
    small, bulk = Town(), Town()
    small.hosts["origin.test"] = says(200)
    bulk.hosts["origin.test"] = says(206)
    lanes = Lanes(small, bulk)
    assert (await lanes.fetch(request())).status == 200
    assert (await lanes.fetch(replace(request(), bulk=True))).status == 206
    assert (len(small.requests), len(bulk.requests)) == (1, 1)
    await lanes.aclose()
