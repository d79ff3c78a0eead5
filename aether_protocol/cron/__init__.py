"""Schedules, pure: the fire times of a schedule in a zone, and what a fire that is due leads to (CRON-1..6).

Law: no clock and no I/O. Instants are whole microseconds since the epoch, UTC; the present comes in as an argument.
"""
