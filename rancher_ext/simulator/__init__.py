"""A small Rancher over real HTTP, for the demo, `drover simulate` and the tests.

It judges our client and therefore imports nothing of ours. Begin at `running.py` (how to get one), `fleet.py` (what is in
it), `scenarios/*.yaml` (which kinds of clusters there are).
"""
