//! Graphs that are too large for an element for each task: drawn on a canvas.

use greenloop_model::task::{TaskId, TaskState};
use serde_json::json;

use super::browser::{Tab, with_browser};
use super::seed;
use super::stage::{Hub, World};
use crate::program::{self, task};
use crate::stores::Place;

const ENTER: &str = "\u{e007}";
const RIGHT: &str = "\u{e014}";
const LEFT: &str = "\u{e012}";
const HOME: &str = "\u{e011}";

/// What the drawing says of itself.
fn said(name: &str) -> String {
    format!("document.querySelector('.graph-large').dataset.{name}")
}

/// `count` tasks in five epics, each but the first 100 with four dependencies.
fn world(count: i64) -> World {
    let mut world = seed::large(usize::try_from(count).unwrap());
    for (place, task) in (0..).zip(&mut world.tasks) {
        task.epic = Some(format!("epic {}", place * 5 / count));
        task.needs = match place {
            0..100 => Vec::new(),
            _ => [100, 81, 53, 37].map(|back| TaskId(place - back + 1)).to_vec(),
        };
        task.state = match place {
            0..1_000 => TaskState::Done,
            1_000..1_010 => TaskState::Running,
            _ => TaskState::Waiting,
        };
    }
    world
}

async fn open(tab: &Tab, url: &str) {
    tab.open(url).await;
    tab.until("!!document.querySelector('.graph-large[data-tasks]')").await;
}

/// Whether the canvas has more than one colour: something is painted.
const PAINTED: &str = "(() => { const it = document.querySelector('.graph-canvas'); \
    const { data } = it.getContext('2d').getImageData(0, 0, it.width, it.height); \
    const seen = new Set(); for (let i = 0; i < data.length; i += 4 * 97) \
    seen.add(data[i] << 16 | data[i + 1] << 8 | data[i + 2]); return seen.size > 3; })()";

#[tokio::test(flavor = "multi_thread")]
async fn five_thousand_tasks_are_drawn_and_walked_with_the_keyboard() {
    let hub = Hub::start(world(5_000));
    with_browser(async move |tab| {
        open(&tab, &hub.url("/#/graph")).await;
        tab.until(&format!("{} === '5000' && {} === '19600'", said("tasks"), said("edges"))).await;
        // All of it is seen at first, without texts; no element for each task.
        tab.until(&format!("{} === '5000' && {} === 'none'", said("painted"), said("labels"))).await;
        tab.until(PAINTED).await;
        assert!(tab.value("document.querySelectorAll('*').length < 1000").await == true);

        // Where work goes on is where the keyboard begins.
        tab.value("document.querySelector('.canvas-task').focus()").await;
        let label = "document.activeElement.getAttribute('aria-label')";
        assert_eq!(tab.text(label).await, "1001 Task 1001, running, 0 %");
        for key in [HOME, RIGHT] {
            tab.press(key).await;
        }
        let current = tab.text("document.activeElement.dataset.id").await;
        assert!(current.parse::<i64>().unwrap() > 100, "{current}: along a dependency");
        assert_eq!(tab.text("document.querySelector('.graph-box [role=status]').textContent").await,
            tab.text(label).await);
        tab.press(LEFT).await;
        let needed = tab.text("document.activeElement.dataset.id").await.parse::<i64>().unwrap();
        let back = current.parse::<i64>().unwrap() - needed;
        assert!([100, 81, 53, 37].contains(&back), "{current} needs {needed}");
        tab.press(RIGHT).await;

        // Texts come with the size; only what is seen is painted then.
        for _ in 0..12 {
            tab.press("+").await;
        }
        tab.until(&format!("{} === 'titles'", said("labels"))).await;
        tab.until(&format!("Number({}) < 200", said("painted"))).await;
        let inside = "(() => { const a = document.activeElement.getBoundingClientRect(), \
            b = document.querySelector('.graph-large').getBoundingClientRect(); \
            return a.left >= b.left && a.right <= b.right && a.top >= b.top && a.bottom <= b.bottom; })()";
        tab.until(inside).await;
        tab.press("0").await;
        tab.until(&format!("{} === 'none'", said("labels"))).await;

        let wanted = tab.text("document.activeElement.dataset.id").await;
        tab.press(ENTER).await;
        tab.until(&format!("location.hash === '#/tasks/{wanted}'")).await;
        tab.until(&format!("document.querySelector('h1')?.textContent.startsWith('{wanted} ')")).await;
        tab.assert_calm().await;
        drop(hub);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_graph_follows_events_and_the_pointer() {
    let hub = Hub::start(world(1_200));
    with_browser(async move |tab| {
        open(&tab, &hub.url("/#/graph")).await;
        tab.until(&format!("{} === '1200'", said("tasks"))).await;
        tab.until_line("Live").await;
        let state = "document.querySelector('.canvas-task').dataset.state";
        tab.until(&format!("{state} === 'running'")).await;
        let id = tab.text(&said("current")).await.parse::<i64>().unwrap();
        let event =
            greenloop_hub_api::types::Event { task: Some(TaskId(id)), ..seed::event("task.done") };
        hub.happen(event, |world| {
            world.tasks.iter_mut().find(|it| it.id.0 == id).unwrap().state = TaskState::Done;
        });
        tab.until(&format!("{state} === 'done'")).await;

        // A click on the place of the current task opens it.
        let point = "(() => { const { left, top, width, height } = \
            document.querySelector('.canvas-task').getBoundingClientRect(); \
            return [left + width / 2, top + height / 2]; })()";
        let at = tab.value(point).await;
        for (kind, button) in
            [("mouseMoved", "none"), ("mousePressed", "left"), ("mouseReleased", "left")]
        {
            if kind == "mousePressed" {
                let tip = "document.querySelector('.canvas-tip')";
                tab.until(&format!(
                    "{tip}.checkVisibility() && {tip}.textContent.includes('Task {id},')"
                ))
                .await;
            }
            let mouse =
                json!({ "type": kind, "x": at[0], "y": at[1], "button": button, "clickCount": 1 });
            tab.cdp("Input.dispatchMouseEvent", mouse).await;
        }
        tab.until(&format!("location.hash === '#/tasks/{id}'")).await;
        tab.assert_calm().await;
        drop(hub);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn epics_collapse_and_levels_are_read_as_text() {
    let hub = Hub::start(world(1_000));
    with_browser(async move |tab| {
        open(&tab, &hub.url("/#/graph")).await;
        tab.until(&format!("{} === '1000'", said("tasks"))).await;
        tab.value("document.querySelector('.collapse-epics').click()").await;
        tab.until(&format!("{} === '5'", said("tasks"))).await;
        tab.value("document.querySelector('.canvas-task').focus()").await;
        tab.press(HOME).await;
        let label = tab.text("document.activeElement.getAttribute('aria-label')").await;
        assert_eq!(label, "Epic epic 0, collapsed, 200 of 200 tasks done");
        // Opened: its own tasks beside the other epics; `c` closes it again.
        tab.press(ENTER).await;
        tab.until(&format!("{} === '204'", said("tasks"))).await;
        tab.press("c").await;
        tab.until(&format!("{} === '5'", said("tasks"))).await;
        assert!(tab.focused().await.starts_with("a canvas-task"));

        tab.value("document.querySelector('.collapse-epics').click()").await;
        tab.until(&format!("{} === '1000'", said("tasks"))).await;
        tab.value("document.querySelector('.levels').open = true").await;
        let level = "document.querySelector('.levels [data-level]')";
        tab.until(&format!("{level}?.firstChild.textContent === 'Level 1: 100 tasks, 100 done'"))
            .await;
        assert_eq!(tab.count(".level-list a").await, 0, "nobody has opened a level");
        tab.value(&format!("{level}.open = true")).await;
        tab.until("document.querySelectorAll('.level-list a').length === 100").await;
        tab.assert_calm().await;
        drop(hub);
    })
    .await;
}

/// The same with the real hub: one request for all tasks, and none that changed nothing is sent
/// twice.
#[tokio::test(flavor = "multi_thread")]
async fn the_real_hub_hands_out_a_graph_in_one_request() {
    let place = Place::sqlite();
    let hub = program::Hub::start_with(&place, &["--listen", "127.0.0.1:0", "--no-merges"]);
    let admin = hub.admin(&place);
    let tasks: Vec<serde_json::Value> = (0..700)
        .map(|nth| {
            let mut task = task(&nth.to_string());
            if nth >= 20 {
                task["needs"] = json!([(nth - 20).to_string(), (nth - 13).to_string()]);
            }
            task
        })
        .collect();
    let graph = admin.submit(json!(tasks)).await;

    with_browser(async move |tab| {
        open(&tab, &hub.url(&format!("/#/graphs/{graph}"))).await;
        tab.until(&format!("{} === '700' && {} === '1360'", said("tasks"), said("edges"))).await;
        let asked = "performance.getEntriesByType('resource').map((it) => it.name) \
            .filter((it) => it.includes('/api/') && it.includes('/tasks'))";
        let asked = tab.value(asked).await;
        assert!(
            asked
                .as_array()
                .unwrap()
                .iter()
                .all(|it| { it.as_str().unwrap().ends_with(&format!("/graphs/{graph}/tasks")) }),
            "{asked}"
        );
        let claimed = admin.claim("w1", 0).await.unwrap();
        assert_eq!(claimed["task"]["graph"], graph);
        tab.value("document.querySelector('.canvas-task').focus()").await;
        tab.press(HOME).await;
        tab.until("!!document.activeElement.getAttribute('aria-label')?.includes(', ')").await;
        tab.assert_calm().await;
        drop(hub);
    })
    .await;
}
