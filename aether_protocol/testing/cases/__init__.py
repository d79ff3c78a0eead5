"""The case runner behind `aether test` and the pytest plugin.

A case file names a document, what its tasks give and what is expected of the run. It is read and checked (`read`: all faults of
all files, each with its line), its document is compiled (`prepare`: a case may expect the diagnostics alone), and the run is
played by a real engine on a virtual clock with scripted executors (`play`; for CronWorkflows `schedules`). What came of it is
held against what the case expects (`expectations`), and each difference names the line of the case that it contradicts.

Law: a case never waits for the machine and gives the same result each time. What a case expects holds on every tier of store
and wherever its engine is lost (`every_tier`).

Modules by role:

    what a case is       model, fields, read, grammar
    before the run       prepare, plan_names
    the run              run, play, schedules, survivors, recorder, every_tier
    judging and telling  expectations, compare, failure_detail, reports
    which rules          rules, coverage
"""
