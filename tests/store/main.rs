//! The contract of the task store, on each database: a SQLite file, and a real PostgreSQL
//! (`GREENLOOP_TEST_POSTGRES`, started by `scripts/services.sh`, or `skip`).

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod batches;
mod claims;
mod contract;
mod crash;
mod flakes;
mod holds;
mod invariants;
mod lists;
mod machine;
mod merge_approvals;
mod merge_races;
mod merges;
mod optional;
mod place;
mod retention;
mod start_approvals;
mod upgrade;
mod wakers;
mod work;
mod workers;

/// Each test on both databases.
macro_rules! on_both {
    ($($module:ident { $($test:ident),+ $(,)? })+) => {
        $($(on_both!(@one $module $test);)+)+
    };
    (@one $module:ident $test:ident) => {
        mod $test {
            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn sqlite() {
                on_both!(@run Sqlite $module $test);
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn postgres() {
                on_both!(@run Postgres $module $test);
            }
        }
    };
    (@run $kind:ident $module:ident $test:ident) => {
        let Some(place) = crate::place::Place::new(crate::place::Kind::$kind).await else {
            return;
        };
        crate::$module::$test(&place).await;
        place.end().await;
    };
}

on_both! {
    flakes {
        flaky_tests_are_kept_by_repository,
        flaky_tests_are_forgotten,
        flaky_tests_are_bounded,
    }
    contract {
        a_graph_runs_to_its_end,
        the_most_urgent_fitting_task_comes_first,
        conditions_open_at_their_percent,
        a_zombie_changes_nothing,
        failures_end_in_the_dead_letter,
        poison_stops,
        not_the_same_agent_again,
        cancelling_reaches_those_at_work,
        a_replay_has_the_same_answer,
        stuck_and_silent_ones_are_told_once,
        what_is_shown,
        nonsense_is_refused,
        several_hubs_start_at_once,
    }
    holds {
        a_hold_is_every_hubs,
        tips_that_passed_are_known,
        a_rewind_opens_its_tasks_again,
        an_empty_queue_is_looked_at_now_and_then,
        conflicts_are_done_anew_in_turn,
        a_redo_may_wait_for_another_graphs,
        entries_that_do_not_mend_a_target_are_known,
        a_redo_does_not_wait_for_what_waits_for_it,
        what_is_done_anew_has_an_end,
        held_branches_come_first,
        an_entry_that_cannot_be_read_now_stays,
        a_push_does_not_keep_a_graph_from_being_cancelled,
        a_running_project_keeps_its_repository,
        a_database_of_the_first_version_is_brought_up_to_date,
    }
    lists {
        runs_are_read_in_parts,
        tasks_are_found_in_all_graphs,
        a_search_goes_on_where_it_stopped,
    }
    merge_approvals {
        a_merge_waits_for_its_own_decision,
        a_merge_that_nobody_decides_on_expires,
        an_approval_is_given_once_and_waived_with_the_merge,
        unapproved_work_is_known_to_other_targets,
    }
    start_approvals {
        a_task_that_opens_again_starts_only_if_that_was_approved,
        what_is_changed_is_approved_anew_and_by_somebody_else,
        whoever_asked_first_does_not_approve,
    }
    optional {
        in_either_order,
    }
    workers {
        an_unfit_worker_gives_back_and_gets_nothing,
        a_task_that_everybody_gives_back_waits_for_a_person,
        a_repository_out_of_reach_is_left_to_others,
        a_worker_that_says_less_often_is_not_down,
        workers_leave_and_are_forgotten,
        tasks_that_nobody_can_do_are_named,
    }
    retention {
        what_ended_goes_and_what_lives_stays,
        merges_go_with_their_graph,
        targets_go_with_their_graphs,
        what_is_old_goes_by_its_age,
        old_rows_do_not_stand_in_the_way_of_claims,
        a_file_shrinks,
    }
    invariants {
        rules_find_what_is_wrong,
    }
    claims {
        nothing_is_claimed_twice,
        a_lost_wake_up_is_made_up_for,
        the_end_of_a_rest_wakes,
        a_herd_waits_on,
        an_end_hides_no_task,
        all_end_at_once,
    }
    batches {
        what_gathers_goes_together,
        each_is_told_its_own_answer,
        a_connection_breaks_off_in_the_middle,
        what_waits_for_several_is_freed_once,
        rows_are_changed_in_place,
        a_rest_ends_by_itself,
    }
    upgrade {
        an_earlier_hub_works_on,
    }
    crash {
        a_hub_is_killed_at_any_moment,
        connections_break_off,
    }
    machine {
        any_order_of_calls,
    }
    wakers {
        redis_is_flushed_and_killed,
        the_same_name_started_again,
    }
    merge_races {
        one_writer_at_a_time,
        a_late_writer_changes_nothing,
        only_what_passed_lands,
        dependants_leave_as_well,
        each_target_has_its_writer,
    }
    merges {
        one_writer_merges_in_order,
        a_conflict_reopens_a_task_so_often,
        what_needs_an_ejected_entry_leaves_as_well,
        an_epics_branch_goes_to_the_target_when_the_epic_is_done,
    }
}
