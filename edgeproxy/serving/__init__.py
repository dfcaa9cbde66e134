"""Bytes to Request, Response to bytes. Knows only Handler.

listener, acceptor, door, sweep: where connections come from, who may have one, how long they may wait.
http1: one connection; head_syntax and head understand requests, chunked and request_body their content,
response_head and body_writer send answers, request_memo answers known heads without any of these.
exchange: asking the handler, counting, logging (access_log, log_line). Pure beside them: proxy_protocol,
client_address, trace. service: what the connections of one listener share."""
