//! Live updates of the page.

use std::time::Duration;

use greenloop_hub_api::types::Event;
use greenloop_model::task::{AgentState, TaskState};

use super::browser::with_browser;
use super::seed::{self, event};
use super::stage::Hub;

const NODE: &str =
    "[...document.querySelectorAll('.node')].find((node) => node.textContent.includes('2.1 '))";

#[tokio::test(flavor = "multi_thread")]
async fn an_event_changes_the_page_without_loading_it_anew() {
    let hub = Hub::start(seed::project());
    with_browser(async move |tab| {
        tab.open(&hub.url("/")).await;
        tab.until_loaded().await;
        tab.until_line("Live").await;
        tab.value("window.__same = 1").await;
        tab.until(&format!("{NODE}.dataset.state === 'ready'")).await;
        let id = hub.world().task("2.1").id;
        let about = |kind: &str| Event {
            task: Some(id),
            epoch: Some(1),
            agent: Some("agent-a".to_owned()),
            ..event(kind)
        };

        hub.happen(about("task.claimed"), |world| {
            let task = world.task("2.1");
            (task.state, task.epoch, task.agent) =
                (TaskState::Running, 1, Some("agent-a".to_owned()));
            let agent = &mut world.agents[0];
            (agent.state, agent.task, agent.percent) = (AgentState::Working, Some(id), Some(0));
        });
        tab.until(&format!("{NODE}.dataset.state === 'running'")).await;
        hub.happen(
            Event {
                percent: Some(40),
                text: Some("compiling".to_owned()),
                ..about("task.progress")
            },
            |world| {
                world.task("2.1").percent = 40;
                world.agents[0].percent = Some(40);
            },
        );
        tab.until(&format!("{NODE}.textContent.includes('40 %')")).await;
        tab.until("document.querySelector('.agent').textContent.includes('compiling')").await;
        hub.happen(
            Event { text: Some("the disk is full".to_owned()), ..about("task.failed") },
            |world| {
                let task = world.task("2.1");
                (task.state, task.reason) =
                    (TaskState::Failed, Some("the disk is full".to_owned()));
                (world.agents[0].state, world.agents[0].task) = (AgentState::Idle, None);
            },
        );
        tab.until(
            "document.querySelector('.alerts-list').textContent.includes('the disk is full')",
        )
        .await;
        tab.until(
            "document.querySelector('.activity-list').textContent.includes('the disk is full')",
        )
        .await;
        // It is announced to screen readers as well.
        tab.until("document.getElementById('announce').textContent.includes('Task failed: 2.1')")
            .await;
        assert_eq!(tab.value("window.__same").await, 1);
        tab.assert_calm().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_comes_back_after_the_hub_and_goes_on_where_it_was() {
    let mut hub = Hub::start(seed::project());
    with_browser(async move |tab| {
        tab.open(&hub.url("/")).await;
        tab.until_line("Live").await;
        tab.until_loaded().await;
        let last = hub.happen(event("progress.snapshot"), |_| {});
        tab.until(&format!("{NODE}.dataset.state === 'ready'")).await;
        tokio::time::sleep(Duration::from_millis(300)).await;

        hub.stop();
        tab.until_line("No connection").await;
        tab.until("document.querySelector('.banner').textContent.includes('The data is from')")
            .await;
        // The last state stays on the page.
        assert_eq!(tab.count(".node").await, 28);

        let id = hub.world().task("2.1").id;
        hub.happen(Event { task: Some(id), epoch: Some(1), ..event("task.cancelled") }, |world| {
            world.task("2.1").state = TaskState::Cancelled;
        });
        hub.listen();
        tab.value("document.querySelector('.banner button').click()").await;
        tab.until_line("Live").await;
        tab.until(&format!("{NODE}.dataset.state === 'cancelled'")).await;
        tab.until("document.querySelector('.banner').hidden").await;
        assert_eq!(hub.resumed().first(), Some(&None));
        assert_eq!(hub.resumed().last(), Some(&Some(last)));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_events_a_second_do_not_freeze_it() {
    let hub = Hub::start(seed::project());
    with_browser(async move |tab| {
        tab.open(&hub.url("/")).await;
        tab.until_line("Live").await;
        tab.until("document.querySelectorAll('.node').length === 28").await;
        // The longest time between two frames while the burst lasts.
        tab.value(
            "(() => { window.__longest = 0; let last = performance.now(); \
             const frame = (now) => { window.__longest = Math.max(window.__longest, now - last); last = now; requestAnimationFrame(frame); }; \
             requestAnimationFrame(frame); })()",
        )
        .await;
        let before = tab.value("document.querySelectorAll('*').length").await.as_u64().unwrap();
        let id = hub.world().task("1.3").id;
        for round in 0..50_u8 {
            for step in 0..100_u8 {
                let kind = if step % 10 == 0 { "evidence.added" } else { "task.progress" };
                hub.happen(
                    Event { task: Some(id), epoch: Some(1), agent: Some("agent-d".to_owned()), percent: Some(round + 40), ..event(kind) },
                    |world| world.task("1.3").percent = round + 40,
                );
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        tab.until("[...document.querySelectorAll('.node')].some((node) => node.textContent.includes('89 %'))").await;
        let longest = tab.value("window.__longest").await.as_f64().unwrap();
        eprintln!("the longest time between two frames: {longest} ms");
        let after = tab.value("document.querySelectorAll('*').length").await.as_u64().unwrap();
        assert!(after < before + 400, "{before} elements became {after}");
        tab.assert_calm().await;
    })
    .await;
}
