"""What a shared cache may do (RFC 9111 and its family), as pure functions over values: no socket,
clock, file, log or await. `now` is an argument, in wall-clock seconds."""
