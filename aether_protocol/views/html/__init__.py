"""Pages that stand by themselves, for mails, CI and folders: `page` is what all have, `run_page` one run, with `task_list` and
`time_chart`."""
