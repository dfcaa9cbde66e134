"""An exchange between two processes of one node, over a unix socket: a server asks, the filler answers.

frames     length-prefixed frames, the codec; messages: what is said in them
channel    one connection of frames and descriptors
asking     the server's end of an exchange; handler: the Handler that asks, with its pool of channels
gate       a Handler that waits until it is decided who answers
answering  the filler's end of an exchange; listener: where the filler accepts channels
table      numbers in memory shared by all processes: the purge sequence, and which answers may be reused
marks      the filler's hand in that table; recall: what a server remembers by it
reports    what servers have counted, on its way to the filler

One channel carries one exchange at a time, so flow control is trivial: content of requests is sent by
credit, parts of answers are acknowledged. A channel that closes ends its exchange, whoever closed it."""
