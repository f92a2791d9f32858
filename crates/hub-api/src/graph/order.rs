//! Who may claim which task, and which of several first.
//!
//! The rule of the hub. The stores say the same in SQL:
//!
//! 1. **Eligible** is a ready task whose role is among the agent's roles (a task without a role
//!    is for anybody), all of whose labels the agent has, and at which the agent has not lost or
//!    failed an attempt, unless every live agent that fits has ([`may_claim`]).
//! 2. **First** comes the smallest priority, then the largest rank, then the oldest ([`compare`]).

use std::cmp::Ordering;

use super::checked::TaskSpec;

/// What the order looks at in a task that can be claimed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Urgency {
    /// Smaller is more urgent.
    pub priority: i64,
    /// Longest remaining path in hours; never NaN.
    pub rank: f64,
    /// Smaller is older: in a store the task's id, in a graph its index.
    pub age: i64,
}

/// `Less` when `a` is to be claimed before `b`: by priority, then by rank, then by age.
pub fn compare(a: &Urgency, b: &Urgency) -> Ordering {
    a.priority
        .cmp(&b.priority)
        .then_with(|| b.rank.total_cmp(&a.rank))
        .then_with(|| a.age.cmp(&b.age))
}

/// What a task asks of whoever does it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Requirements<'a> {
    /// Anybody when absent.
    pub role: Option<&'a str>,
    pub labels: &'a [String],
}

impl<'a> Requirements<'a> {
    /// What `task` asks for.
    pub fn of(task: &'a TaskSpec) -> Self {
        Self { role: task.role.as_deref(), labels: &task.labels }
    }
}

/// An agent that asks for work. An agent without roles takes what is for anybody, nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// Unique among the live agents.
    pub name: String,
    /// What it may do.
    pub roles: Vec<String>,
    /// What it has.
    pub labels: Vec<String>,
}

/// Whether `agent` can do what is asked, whatever happened before.
pub fn fits(demand: Requirements<'_>, agent: &Agent) -> bool {
    demand.role.is_none_or(|role| agent.roles.iter().any(|own| own == role))
        && demand.labels.iter().all(|label| agent.labels.contains(label))
}

/// Whether `agent` may claim a ready task. `tried` names the agents that lost or failed an
/// attempt at it; `live` are the agents that take work at the moment, `agent` among them or not.
///
/// The same agent does not get the task again as long as a live agent fits that has not tried;
/// when nobody else is left, it does, rather than the task waiting for ever.
pub fn may_claim(demand: Requirements<'_>, tried: &[&str], agent: &Agent, live: &[Agent]) -> bool {
    let has_tried = |agent: &Agent| tried.contains(&agent.name.as_str());
    fits(demand, agent)
        && (!has_tried(agent) || !live.iter().any(|other| !has_tried(other) && fits(demand, other)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn agent(name: &str, roles: &[&str], labels: &[&str]) -> Agent {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Agent { name: name.to_owned(), roles: owned(roles), labels: owned(labels) }
    }

    #[test]
    fn priority_then_rank_then_age() {
        let urgency = |priority, rank, age| Urgency { priority, rank, age };
        let mut tasks = [
            urgency(2, 90.0, 0),
            urgency(1, 10.0, 4),
            urgency(1, 30.0, 3),
            urgency(1, 30.0, 1),
            urgency(0, 0.0, 5),
        ];
        tasks.sort_by(compare);
        assert_eq!(tasks.map(|task| task.age), [5, 1, 3, 4, 0]);
    }

    #[test]
    fn roles_and_labels_decide_who_fits() {
        let gpu = ["gpu".to_owned()];
        for (role, labels, roles, own, expect) in [
            (None, &[][..], &[][..], &[][..], true),
            (None, &[], &["backend"], &[], true),
            (Some("backend"), &[], &["frontend", "backend"], &[], true),
            (Some("backend"), &[], &["frontend"], &[], false),
            (Some("backend"), &[], &[], &[], false),
            (None, &gpu, &[], &[], false),
            (None, &gpu, &[], &["azure", "gpu"], true),
        ] {
            let demand = Requirements { role, labels };
            assert_eq!(fits(demand, &agent("a", roles, own)), expect, "{demand:?} {roles:?}");
        }
    }

    #[test]
    fn not_the_same_agent_again_unless_nobody_else_is_left() {
        let demand = Requirements { role: Some("backend"), labels: &[] };
        let (a, b) = (agent("a", &["backend"], &[]), agent("b", &["backend"], &[]));
        let other = agent("c", &["frontend"], &[]);
        for (tried, live, expect) in [
            (&[][..], &[&a, &b][..], true),
            (&["a"], &[&a, &b], false),
            (&["a", "b"], &[&a, &b], true),
            (&["a"], &[&a], true),
            (&["a"], &[&a, &other], true),
            (&["b"], &[&a, &b], true),
        ] {
            let live: Vec<Agent> = live.iter().map(|one| (*one).clone()).collect();
            assert_eq!(may_claim(demand, tried, &a, &live), expect, "{tried:?}");
        }
        assert!(!may_claim(demand, &[], &other, std::slice::from_ref(&other)));
    }

    proptest! {
        /// A task that somebody fits never waits for ever: some live agent may claim it.
        #[test]
        fn somebody_may_always_claim(
            roles in prop::collection::vec(prop::sample::subsequence(vec!["x", "y"], 0..=2), 1..6),
            tried in prop::collection::vec(0usize..6, 0..6),
            role in prop::option::of(prop::sample::select(vec!["x", "y"])),
        ) {
            let live: Vec<Agent> =
                roles.iter().enumerate().map(|(i, own)| agent(&i.to_string(), own, &[])).collect();
            let tried: Vec<String> = tried.iter().map(usize::to_string).collect();
            let tried: Vec<&str> = tried.iter().map(String::as_str).collect();
            let demand = Requirements { role, labels: &[] };
            let claimants = live.iter().filter(|one| may_claim(demand, &tried, one, &live));
            prop_assert_eq!(claimants.count() > 0, live.iter().any(|one| fits(demand, one)));
        }

        #[test]
        fn the_order_is_total(
            tasks in prop::collection::vec((0i64..3, 0u8..4, 0i64..50), 2..20),
        ) {
            let tasks: Vec<Urgency> = tasks
                .into_iter()
                .map(|(priority, rank, age)| Urgency { priority, rank: rank.into(), age })
                .collect();
            for a in &tasks {
                for b in &tasks {
                    prop_assert_eq!(compare(a, b), compare(b, a).reverse());
                    for c in &tasks {
                        let chain = compare(a, b).is_le() && compare(b, c).is_le();
                        prop_assert!(!chain || compare(a, c).is_le());
                    }
                }
            }
        }
    }
}
