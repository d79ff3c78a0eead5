"""A server as a whole, in one process: engine, schedules, the embedded worker and HTTP, from the first request to the last.

    what it is made of, how it comes and goes     host
    how it is run                                 settings
    addresses, TLS, the library for HTTP          listening
    which workers there are                       known_workers
    what is reported of its runs                  reports
"""
