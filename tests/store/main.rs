//! The contract of the task store, on each database: a SQLite file, and a real PostgreSQL
//! (`GREENLOOP_TEST_POSTGRES`, started by `scripts/services.sh`, or `skip`).

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod contract;
mod merges;
mod place;
mod work;

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
    merges {
        one_writer_merges_in_order,
        a_conflict_reopens_a_task_once,
        what_needs_an_ejected_entry_leaves_as_well,
        an_epics_branch_goes_to_the_target_when_the_epic_is_done,
    }
}
