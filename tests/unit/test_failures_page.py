"""docs/explanation/failures.md: each row is shown by tests, and no row is without."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "explanation" / "failures.md"

SHOWN: Final[Mapping[str, tuple[str, ...]]] = {  # by the beginning of a row: FILE::TEST, below tests/ unless it is published
    "Redis stops, and is back": (
        "e2e/test_celery.py::test_redis_that_is_away_for_less_than_the_lease_repeats_nothing",
    ),
    "Redis loses everything": (
        "e2e/test_celery.py::test_redis_that_was_emptied_repeats_nothing_that_runs",
        "unit/celery/test_table.py::test_a_worker_puts_back_what_it_has_where_redis_was_emptied",
    ),
    "a worker of Celery is killed": (
        "e2e/test_celery.py::test_a_worker_that_dies_as_a_whole_is_replaced_after_its_lease",
    ),
    "a process of the pool of a Celery worker": (
        "e2e/test_celery.py::test_the_death_of_a_process_is_heard_of_at_once",
    ),
    "Celery hands a message out twice": (
        "e2e/test_celery.py::test_a_message_that_comes_twice_leads_to_one_attempt",
    ),
    "NATS is killed or wiped": (
        "e2e/test_nats.py::test_nats_wiped_under_load_loses_nothing_and_repeats_nothing",
    ),
    "an engine is killed, and another one of its store": (
        "e2e/test_nats.py::test_a_run_outlives_its_engine_and_its_attempt_is_not_repeated",
    ),
    "a worker behind NATS is killed": (
        "e2e/test_nats.py::test_a_worker_that_is_killed_under_load_costs_its_attempts_alone",
    ),
    "the process of an attempt dies": (
        "e2e/test_workers.py::test_a_child_that_is_killed_is_reported_within_a_second_and_the_attempt_repeated",
        "e2e/test_workers_grpc.py::test_a_child_that_is_killed_is_reported_at_once",
    ),
    "a worker or its machine dies": (
        "e2e/test_workers.py::test_children_of_a_killed_worker_die_and_another_worker_takes_over_after_the_lease",
        "unit/fleet/test_machine.py::test_a_worker_that_is_silent_for_its_lease_loses_its_attempts_unblamed",
        "unit/fleet/test_machine.py::test_a_lost_connection_alone_hands_out_nothing_again_unless_asked_for",
        "e2e/test_chaos.py::test_killed_workers_and_servers_lose_and_double_nothing",
    ),
    "a worker is cut off for longer than the lease": (
        "e2e/test_workers.py::test_a_worker_that_cannot_reach_its_server_stops_its_work_before_the_lease_ends",
        "unit/worker/test_supervisor.py::test_what_runs_is_stopped_and_killed_before_the_lease_ends",
        "property/test_fleet_simulation.py::test_every_law_of_a_fleet_holds_whatever_fails",
    ),
    "a worker is cut off for less than the lease": (
        "e2e/test_workers.py::test_an_outage_of_the_server_within_the_lease_repeats_nothing_and_loses_no_line",
        "e2e/test_workers_grpc.py::test_an_outage_of_the_server_within_the_lease_repeats_nothing_and_loses_no_line",
    ),
    "a machine is frozen for longer than the lease": (
        "e2e/test_failures.py::test_a_machine_that_freezes_for_longer_than_its_lease_overlaps_under_one_key_and_gives_one_result",
    ),
    "a worker is drained or upgraded": (
        "e2e/test_workers.py::test_a_first_signal_lets_attempts_end_and_a_second_gives_them_back",
        "unit/fleet/test_machine.py::test_a_drained_worker_gets_nothing_more_and_gives_back_what_it_did_not_end",
    ),
    "an attempt kills its process each time": (
        "e2e/test_workers.py::test_an_attempt_whose_child_dies_three_times_in_a_row_is_an_error_with_its_last_lines",
    ),
    "no worker has what a task asks for": (
        "e2e/test_failures.py::test_what_no_worker_can_carry_out_waits_with_its_reason_and_is_an_error_after_its_longest_wait",
        "unit/fleet/test_machine.py::test_what_waited_for_as_long_as_it_may_is_an_error",
    ),
    "workers have different versions of one executor": (
        "contracts/test_worker_broker.py::"
        "test_of_workers_with_different_versions_of_an_executor_each_attempt_goes_to_those_that_its_config_fits",
        "unit/fleet/test_machine.py::"
        "test_an_attempt_whose_config_fits_no_version_here_waits_for_another_one_with_its_reason_and_its_longest_wait",
    ),
    "a result arrives and its answer is lost": (
        "unit/worker/test_supervisor.py::test_a_result_that_is_not_recorded_comes_again_also_while_other_things_are_reported",
        "unit/worker/test_supervisor.py::test_a_result_whose_answer_is_lost_comes_again",
        "property/test_fleet_simulation.py::test_every_law_of_a_fleet_holds_whatever_fails",
    ),
    "work is lost on its way to a worker": (
        "unit/fleet/test_machine.py::test_an_assignment_that_never_arrived_goes_to_the_next_poll",
        "unit/fleet/test_machine.py::test_a_beat_that_crossed_an_assignment_on_its_way_loses_nothing",
        "contracts/test_worker_broker.py::test_a_poll_that_is_cut_off_with_its_answer_gives_nothing_out_twice",
    ),
    "work arrives twice": (
        "unit/worker/test_supervisor.py::test_work_that_arrives_twice_is_begun_once",
        "contracts/test_worker_broker.py::test_a_delivery_at_a_worker_that_it_was_not_given_to_does_not_count",
    ),
    "an order to stop is lost": (
        "unit/fleet/test_machine.py::test_the_order_to_stop_is_repeated_at_each_beat_until_the_worker_has_let_go",
    ),
    "an order to drain is lost": ("unit/fleet/test_machine.py::test_the_order_to_drain_is_repeated_at_each_beat",),
    "a run is cancelled while its worker is gone": (
        "e2e/test_failures.py::test_a_run_whose_worker_is_gone_is_cancelled_at_once",
    ),
    "a worker dies between an artifact and its result": (
        "e2e/test_worker_artifacts.py::test_what_a_worker_sent_before_it_died_is_collected_and_the_same_content_is_kept_once",
        "e2e/test_worker_artifacts.py::test_a_worker_that_is_killed_while_it_sends_leaves_nothing_and_another_one_does_it_again",
    ),
    "a server takes no logs, or slowly": (
        "e2e/test_failures.py::test_a_server_that_takes_no_logs_holds_up_no_result_and_the_oldest_lines_go_with_a_note",
        "unit/worker/test_supervisor.py::test_a_result_waits_two_seconds_for_a_log_that_cannot_be_sent_and_logs_may_follow_it",
        "unit/worker/test_spool.py::test_the_oldest_goes_with_a_note_in_its_place",
    ),
    "a proxy cuts connections that are silent": (
        "e2e/test_failures.py::test_a_proxy_that_cuts_polls_loses_and_doubles_nothing",
        "e2e/test_failures.py::test_what_is_silent_says_something_before_proxies_cut_it",
        "unit/server/test_feeds.py::test_a_silent_stream_is_kept_alive_by_comments",
    ),
    "one of several servers is killed": (
        "e2e/test_several_servers.py::test_a_server_of_three_is_killed_and_everything_ends_once",
        "e2e/test_workers_of_servers.py::test_what_runs_at_a_worker_when_its_server_is_killed_ends_once",
    ),
    "one of several servers stops": (
        "e2e/test_several_servers.py::test_a_server_that_stops_gives_its_runs_to_the_others_at_once",
        "unit/server/test_ownership.py::test_runs_are_shared_with_a_server_that_comes_and_taken_over_from_one_that_leaves",
    ),
    "the server of a worker is killed, and there are others": (
        "e2e/test_workers_of_servers.py::test_a_worker_that_was_given_one_server_continues_at_another_when_that_is_killed",
        "unit/worker/test_turns.py::test_a_worker_whose_server_is_gone_is_at_another_one_with_what_it_has",
    ),
    "a server is killed": (
        "e2e/test_worker_commands.py::test_the_server_may_be_killed_and_come_back_and_nothing_is_repeated_or_lost",
        "e2e/test_worker_commands.py::test_a_15_second_outage_of_the_only_server_repeats_nothing_and_loses_no_line",
        "e2e/test_cli_watch.py::test_a_server_that_is_started_anew_in_the_middle_costs_nothing",
        "unit/server/test_feeds.py::test_a_server_that_stops_ends_its_streams_and_another_continues_them",
    ),
    "a server is upgraded": (
        "e2e/test_serve.py::test_a_first_signal_lets_tasks_end_within_the_grace",
        "e2e/test_serve.py::test_what_does_not_end_within_the_grace_is_repeated_by_the_next_server_at_once",
        "e2e/test_worker_commands.py::test_a_worker_goes_over_to_the_next_server_with_what_it_holds",
    ),
    "a server is frozen for longer than its lease": (
        "unit/engine/test_recovery_sharing.py::test_an_engine_that_comes_back_too_late_has_lost_its_runs",
        "unit/engine/test_recovery_sharing.py::test_the_writes_of_a_stale_owner_are_refused",
    ),
    "the store does not answer a server for longer than its lease": (
        "unit/engine/test_hanging_store.py::test_runs_are_given_up_at_the_end_of_the_lease_whatever_is_not_answered",
        "unit/engine/test_hanging_store.py::test_a_claim_that_is_answered_after_its_lease_gives_nothing",
    ),
    "the disk of a server is full": (
        "e2e/test_served_faults.py::test_a_full_disk_of_the_server_refuses_new_runs_and_loses_none",
    ),
    "a provider of secrets is away": (
        "e2e/test_failures.py::test_a_vault_that_is_away_at_the_fetch_delays_an_attempt_with_its_reason_and_fails_none",
        "unit/fleet/test_machine.py::test_a_refused_attempt_is_offered_again_after_growing_pauses_and_ends_in_error",
    ),
    "the token of a worker expires in mid-task": (
        "e2e/test_failures.py::test_a_token_that_expires_in_mid_task_costs_nothing_and_brings_no_more_work",
        "unit/server/test_worker_tokens.py::test_a_worker_whose_token_expires_finishes_what_it_has_and_gets_no_more",
        "unit/server/test_worker_tokens.py::"
        "test_after_a_restart_of_the_server_it_comes_back_with_what_it_has_and_never_with_nothing",
    ),
    "the clock of a machine jumps": (
        "e2e/test_failures.py::test_a_clock_that_jumps_in_mid_task_repeats_nothing",
        "e2e/test_served_faults.py::test_a_worker_whose_clock_is_an_hour_off_works_like_others",
        "unit/engine/test_recovery_sharing.py::test_a_clock_that_is_set_takes_no_run_and_no_lock_from_a_living_engine",
    ),
    "PostgreSQL, or the network before it": (
        "contracts/test_postgres_silence.py::test_an_append_whose_server_falls_silent_is_written_once",
        "contracts/test_postgres_silence.py::test_a_run_goes_through_connections_that_fall_silent_again_and_again",
    ),
    "PostgreSQL is away": (
        "contracts/test_postgres_outages.py::test_a_run_waits_for_a_server_that_comes_back_and_loses_nothing",
        "contracts/test_postgres_outages.py::test_a_server_that_stays_away_is_given_up_after_the_patience",
    ),
}


def rows() -> list[str]:
    """The first cell of each row."""
    lines = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| ") and line[:9] != "| failure"]
    return [line.split("|")[1].strip() for line in lines]


def test_every_row_is_shown_by_tests_and_no_entry_is_without_a_row() -> None:
    found = {row: [name for name in SHOWN if row.startswith(name)] for row in rows()}
    assert [row for row, names in found.items() if len(names) != 1] == []
    assert sorted(name for names in found.values() for name in names) == sorted(SHOWN)


@pytest.mark.parametrize("test", sorted({one for several in SHOWN.values() for one in several}))
def test_a_test_that_shows_a_row_is_there(test: str) -> None:
    file, _, name = test.partition("::")
    text = (ROOT / "tests" / file).read_text("utf-8")
    assert re.search(rf"^ *(async )?def {name}\(", text, re.MULTILINE)
