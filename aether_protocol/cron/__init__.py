"""When schedules fire, and what follows from a fire (CRON-*)."""
