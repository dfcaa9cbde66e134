"""Stand-ins at the borders of a node, for tests that run a whole one.

node         a real node as a subprocess: start, stop, kill, restart, logs, metrics, purges
node_forks   where those come from: a process that has the program loaded
ports        ports that stay ours while nobody listens at them
kept         what is made once and kept between runs: released clients
wire         a raw HTTP/1.1 server in its own thread, which keeps every byte it receives
origin       ordinary resources of an origin on that server: validators, ranges, delays, Vary
faults       what a broken or hostile origin does, as a table
raw_client   a client that sends any bytes and reads answers without mercy
load         very many clients at once, in a process of its own
http2_client  the same in raw frames of HTTP/2
http2_server  a parent in raw frames of HTTP/2, which obeys windows
wheels       small real wheels and source distributions, built here
index        a package index on two ports that serves them, with faults
apart        an index or a hub in a process of its own, to be killed and stopped
clients      pip, uv and curl as subprocesses, free of this machine's settings
"""
