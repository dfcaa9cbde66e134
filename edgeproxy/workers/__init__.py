r"""A node as several processes.

    supervisor --- filler     a Node that serves no client itself: store, fills, upstreams, control plane
               \-- server 0   clients: parses, answers what it remembers, asks the filler for the rest (relay)
                \- server 1   ...

supervisor  starts them, starts again what ends, hands on signals; children: what it knows of each
orders      what supervisor and children say; link: the supervisor's end of that; child: a child's
server      the process of a server; filler: that of the filler; share: a server's part of the limits

The supervisor runs no event loop and serves nothing: it binds the sockets, so that what waits in them
outlives a server, and the memory all share, so that it outlives the filler. A child ends when the
supervisor does, because its link ends."""
