"""What other cache sizes and evictions would have made of the requests in an access log.

    log_file   lines of a log, plain or gzip, each of bounded length
    log_line   one line: what was asked for, or why it cannot be told
    reading    logs to a trace, with an account of what was left out
    trace      requests as numbers, the last of them where there are too many
    tiers      what an object takes in RAM and on disk
    lfu        least frequently used, to compare with
    optimum    what could be reached by who knew the future
    replay     a trace through an eviction

Everything but the reading of files is pure."""
