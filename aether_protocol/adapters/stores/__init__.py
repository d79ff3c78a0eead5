"""Stores: where runs, schedules, templates and logs are kept; each passes `testing.contracts.store`.

`memory` ends with the process; `sqlite` is one file that any number of processes on one machine may share.
"""
