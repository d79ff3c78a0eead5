"""AE5xx: what can be wrong with a schedule: AE50x by itself, AE51x what it runs and when it is applied.

Law: one row per code, in order of code; codes are never reused for something else.
"""

from typing import Final

from aether_protocol.diagnostics.model import CodeInfo

SCHEDULES: Final = (
    CodeInfo(
        "AE501",
        "error",
        "a schedule that cannot be read",
        "A schedule has five fields: minute (0-59), hour (0-23), day of month (1-31), month (1-12 or JAN-DEC), day of week "
        "(0-7 or SUN-SAT; 0 and 7 are Sunday). Each holds `*`, numbers or names, lists (`1,15`), ranges (`MON-FRI`) and steps "
        "(`*/10`, `8-18/2`). A range ends after it begins: for the nights write `22-23,0-5`, not `22-5`. There are no seconds, "
        "no years and none of `L W # ? R H`.",
    ),
    CodeInfo(
        "AE502",
        "error",
        "a schedule that never fires",
        "No calendar has such a day, as in `0 0 31 2 *`, the 31st of February. The 29th of February is fine: it comes in "
        "leap years.",
    ),
    CodeInfo(
        "AE503",
        "error",
        "no fire from startAt to endAt",
        "The schedule by itself is fine, but none of its times lies within `startAt` and `endAt`, so that it would never run. "
        "Both count in UTC or with the offset that they are written with; the schedule is read in `timezone`.",
    ),
    CodeInfo(
        "AE510",
        "error",
        "the workflowSpec of a schedule cannot be changed",
        "`aether cron apply` found a schedule of this name in the store that runs another `workflowSpec`. What a schedule runs "
        "stays as it was applied, so that its history means one thing; its times and policies may be changed. Apply it with "
        "`--replace` to make a new schedule of that name, which keeps the history, or give it another name.",
    ),
    CodeInfo(
        "AE511",
        "error",
        "a schedule that has ended",
        "`aether cron apply` found that nothing fires from now on: `endAt` is past, or no time of the schedule lies before it. "
        "The document by itself is fine, so `aether validate`, which has no clock, does not tell this.",
    ),
    CodeInfo(
        "AE512",
        "error",
        "a fire could not start a run",
        "A schedule starts its runs without arguments: every parameter of the workflow needs a default or a value of its own. "
        "Example: `arguments: {parameters: [{name: region, type: string}]}` has none. With a default, `aether run` of the "
        "document can still be given another value.",
    ),
)
