//! The longest chain of dependent tasks, by measured times.

use crate::store::TaskFacts;

/// The longest chain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct CriticalPath {
    /// Microseconds.
    pub(super) length: u64,
    /// Places of its tasks, first to last; those without a time of their own are left out.
    pub(super) tasks: Vec<usize>,
}

/// The longest chain by dependencies; tasks that were not measured take no time. Conditions on
/// epics are left out, so that it is never longer than what really had to be waited for. Time and
/// memory are in proportion to tasks and dependencies. Tasks of a cycle, which the hub accepts from
/// nobody, are left out.
pub(super) fn critical_path(tasks: &[TaskFacts]) -> CriticalPath {
    let mut open = vec![0_usize; tasks.len()];
    let mut dependants = vec![Vec::new(); tasks.len()];
    for (task, facts) in tasks.iter().enumerate() {
        for need in &facts.needs {
            if let (Some(list), Some(open)) = (dependants.get_mut(*need), open.get_mut(task)) {
                list.push(task);
                *open += 1;
            }
        }
    }
    let mut begins = vec![0_u64; tasks.len()];
    let mut after: Vec<Option<usize>> = vec![None; tasks.len()];
    let mut ready: Vec<usize> =
        (0..tasks.len()).filter(|task| open.get(*task) == Some(&0)).collect();
    let (mut length, mut last) = (0, None);
    while let Some(task) = ready.pop() {
        let own = tasks.get(task).and_then(|it| it.worked).unwrap_or(0);
        let end = begins.get(task).copied().unwrap_or(0).saturating_add(own);
        if end > length {
            (length, last) = (end, Some(task));
        }
        for next in dependants.get(task).into_iter().flatten() {
            if let (Some(begin), Some(after)) = (begins.get_mut(*next), after.get_mut(*next))
                && end > *begin
            {
                (*begin, *after) = (end, Some(task));
            }
            if let Some(left) = open.get_mut(*next) {
                *left -= 1;
                if *left == 0 {
                    ready.push(*next);
                }
            }
        }
    }
    let chain = std::iter::successors(last, |task| after.get(*task).copied().flatten());
    let measured = |task: &usize| tasks.get(*task).is_some_and(|it| it.worked.is_some());
    let mut path: Vec<usize> = chain.filter(measured).collect();
    path.reverse();
    CriticalPath { length, tasks: path }
}

#[cfg(test)]
mod tests {
    use super::super::tests::task;
    use super::*;

    fn chain(worked: &[Option<u64>], needs: &[&[usize]]) -> CriticalPath {
        let tasks: Vec<TaskFacts> = worked
            .iter()
            .zip(needs)
            .enumerate()
            .map(|(nth, (worked, needs))| TaskFacts {
                worked: *worked,
                needs: needs.to_vec(),
                ..task(nth, "t")
            })
            .collect();
        critical_path(&tasks)
    }

    #[test]
    fn the_longest_chain_is_found() {
        for (worked, needs, length, path) in [
            (vec![], vec![], 0, vec![]),
            (vec![None], vec![&[][..]], 0, vec![]),
            (vec![Some(3), Some(5)], vec![&[][..], &[]], 5, vec![1]),
            (vec![Some(3), Some(5), Some(1)], vec![&[][..], &[], &[0, 1]], 6, vec![1, 2]),
            // Through a task that nobody measured.
            (vec![Some(3), None, Some(1)], vec![&[][..], &[0], &[1]], 4, vec![0, 2]),
            // A need may be handed in after the task that has it.
            (vec![Some(1), Some(2)], vec![&[1][..], &[]], 3, vec![1, 0]),
        ] {
            let found = chain(&worked, &needs);
            assert_eq!((found.length, found.tasks), (length, path), "{worked:?} {needs:?}");
        }
    }

    #[test]
    fn a_long_chain_needs_no_deep_stack() {
        let count = 100_000_usize;
        let tasks: Vec<TaskFacts> = (0..count)
            .map(|nth| TaskFacts {
                worked: Some(1),
                needs: nth.checked_sub(1).into_iter().collect(),
                ..task(nth, "t")
            })
            .collect();
        let found = critical_path(&tasks);
        assert_eq!((found.length, found.tasks.len()), (100_000, count));
    }
}
