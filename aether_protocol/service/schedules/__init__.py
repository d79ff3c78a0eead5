"""Schedules: found by name, applied, suspended, backfilled, and explained in the words of other schedulers.

Theory of operation. A schedule is what a CronWorkflow document was applied as; its runs are ordinary runs whose names say
their fire. Every change reads the schedule's version first and is refused when another process was first. Whether a fire has
had a run is asked of the runs and of the fire records, so that no fire is started twice.
"""
