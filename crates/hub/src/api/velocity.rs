//! How fast the work goes, out of what was finished lately.

use crate::store::Figures;
use greenloop_hub_api::types::Summary;

/// Figures as they are shown.
pub(super) fn summary(figures: Figures) -> Summary {
    let velocity = velocity(&figures);
    Summary {
        percent: figures.percent(),
        tasks: figures.tasks,
        hours: figures.hours,
        hours_done: figures.hours_done,
        tasks_last_hour: figures.tasks_last_hour,
        velocity: velocity.map(|it| it.hours_per_hour),
        eta_hours: velocity.map(|it| it.eta),
        epics: figures.epics,
    }
}

/// How fast the work goes, and when it is done at that.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Velocity {
    hours_per_hour: f64,
    eta: [f64; 3],
}

/// From the last hour when enough happened in it, else from the last day, or from when work
/// began. `n` finished tasks give a velocity within about 1/√n of it.
fn velocity(view: &Figures) -> Option<Velocity> {
    const ENOUGH: u64 = 5;
    const HOUR: f64 = 3600.0;
    let worked = view.at.since(view.started_at?).as_secs_f64() / HOUR;
    let (tasks, hours, window) = if view.tasks_last_hour >= ENOUGH {
        (view.tasks_last_hour, view.hours_last_hour, worked.min(1.0))
    } else {
        (view.tasks_last_day, view.hours_last_day, worked.min(24.0))
    };
    if tasks == 0 || hours <= 0.0 || window <= 0.0 {
        return None;
    }
    let hours_per_hour = hours / window;
    let middle = (view.hours - view.hours_done).max(0.0) / hours_per_hour;
    let doubt = f64::from(u32::try_from(tasks).unwrap_or(u32::MAX)).sqrt().recip().min(0.75);
    Some(Velocity { hours_per_hour, eta: [middle / (1.0 + doubt), middle, middle / (1.0 - doubt)] })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use greenloop_hub_api::types::Timestamp;
    use greenloop_model::task::TaskState;

    const HOUR: i64 = 3_600_000_000;

    fn known(started: Option<i64>) -> Figures {
        Figures {
            at: Timestamp(100 * HOUR),
            tasks: BTreeMap::from([(TaskState::Done, 4), (TaskState::Ready, 4)]),
            hours: 40.0,
            hours_done: 20.0,
            tasks_last_hour: 1,
            hours_last_hour: 2.0,
            tasks_last_day: 4,
            hours_last_day: 20.0,
            started_at: started.map(Timestamp),
            epics: Vec::new(),
        }
    }

    #[test]
    fn the_velocity_is_that_since_work_began() {
        let velocity = velocity(&known(Some(90 * HOUR))).unwrap();
        assert!((velocity.hours_per_hour - 2.0).abs() < 1e-9, "{velocity:?}");
        let [low, middle, high] = velocity.eta;
        assert!((middle - 10.0).abs() < 1e-9 && (low - 20.0 / 3.0).abs() < 1e-9, "{velocity:?}");
        assert!((high - 20.0).abs() < 1e-9, "{velocity:?}");
    }

    #[test]
    fn before_anything_was_done_there_is_no_velocity() {
        assert_eq!(velocity(&known(None)), None);
        assert_eq!(velocity(&Figures { tasks_last_day: 0, ..known(Some(0)) }), None);
    }
}
