"""Schedules, pure: the fire times of a schedule in a zone, and what a fire that is due leads to (CRON-1 to CRON-6).

**Theory.** There is no clock here: instants are whole microseconds since the epoch, UTC, and the present comes in as an
argument. `fields` reads the five fields and refuses what it does not understand. `calendar` gives the wall-clock times that
they mean, on a calendar without a zone. `zones` cuts time into stretches in which the clock of a zone runs evenly. `schedule`
walks these stretches and maps one onto the other: where clocks are set forward, fixed times that are left out fire once at the
first instant after the gap; where they are set back, a fixed time fires at its first occurrence. `policy` decides what is due
since the last decision: what is started, skipped or missed; every fire is decided once. The compiler uses the same fire times
to refuse a schedule that never fires.

Modules by role:

    fire times  fields, calendar, zones, schedule
    decisions   policy, settings
"""
