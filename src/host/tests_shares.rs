//! Several deployments and processes behind one front.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Bytes, extract::State, routing::post};
use tokio::net::UnixListener;

use super::{
    backend::Backend,
    pool::Pool,
    process::append,
    stream::Address,
    target::Target,
    tests::{Scene, orders},
};
use api::{
    Time,
    deployments::{Deployment, Program, RequestSettings, Routes},
    endpoint_tokens,
    endpoints::{AuthMode, Traffic},
};

/// Listens on a socket of the scene; answers `name` and counts.
fn process(scene: &Scene, name: &'static str) -> (Arc<Backend>, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let app = Router::new()
        .route(
            "/score",
            post(
                async move |State(count): State<Arc<AtomicUsize>>, body: Bytes| {
                    count.fetch_add(1, Ordering::SeqCst);
                    if body == "hang" {
                        std::future::pending::<()>().await;
                    }
                    name
                },
            ),
        )
        .with_state(Arc::clone(&count));
    let socket = scene.folder.join(format!("s-{name}"));
    let listener = UnixListener::bind(&socket).unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    (Arc::new(Backend::new(Address::Socket(socket))), count)
}

fn pool(backends: &[&Arc<Backend>]) -> Arc<Pool> {
    asked_as(&Deployment::default(), backends)
}

fn asked_as(deployment: &Deployment, backends: &[&Arc<Backend>]) -> Arc<Pool> {
    let pool = Arc::new(Pool::heeding(Arc::new(deployment.into())));
    for backend in backends {
        pool.add(Arc::clone(backend));
    }
    pool
}

/// Adds the deployment `green` with one process.
fn green(scene: &Scene) -> (Arc<Target>, Arc<AtomicUsize>) {
    let (backend, count) = process(scene, "green");
    let log = append(&scene.folder.join("green.log")).unwrap();
    let target = Arc::new(Target::new(2, "green".to_owned(), log));
    target.switch(Ok(pool(&[&backend])));
    scene.front.add(Arc::clone(&target));
    (target, count)
}

fn share(scene: &Scene, blue: u8, green: u8, mirror: u8) {
    let mut known = orders("first");
    known.traffic = Traffic::from([("blue".to_owned(), blue), ("green".to_owned(), green)]);
    known.mirror_traffic = Traffic::from([("green".to_owned(), mirror)]);
    scene.say(known);
}

async fn ask(scene: &Scene, header: Option<&str>) -> (u16, String, String) {
    let mut request = reqwest::Client::new()
        .post(format!("{}/score", scene.url))
        .header("Authorization", "Bearer first")
        .body("x");
    if let Some(name) = header {
        request = request.header("azureml-model-deployment", name);
    }
    let response = request.send().await.unwrap();
    let by = response.headers().get("azureml-model-deployment");
    let by = by.map_or("", |by| by.to_str().unwrap()).to_owned();
    let status = response.status().as_u16();
    (status, by, response.text().await.unwrap())
}

#[tokio::test]
async fn copies_are_dropped_while_too_many_are_on_their_way() {
    let scene = Scene::new().await;
    let (backend, _) = process(&scene, "blue");
    scene.blue.switch(Ok(pool(&[&backend])));
    let (target, green) = green(&scene);
    share(&scene, 100, 0, 50);
    let all = Arc::clone(&target.copies);
    let on_their_way = all.try_acquire_many(64).unwrap();
    for _ in 0..100 {
        assert_eq!(ask(&scene, None).await.0, 200);
    }
    assert_eq!(green.load(Ordering::SeqCst), 0);
    let dropped = target.recorder.take().uncopied;
    assert_eq!(dropped, 50, "half of them were to be copied");
    drop(on_their_way);
    for _ in 0..10 {
        assert_eq!(ask(&scene, None).await.0, 200);
    }
    while target.copies.available_permits() < 64 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert!(green.load(Ordering::SeqCst) > 0);
}

#[tokio::test]
async fn requests_are_shared_and_a_header_chooses() {
    let scene = Scene::new().await;
    let (backend, blue) = process(&scene, "blue");
    scene.blue.switch(Ok(pool(&[&backend])));
    let (_, green) = green(&scene);
    share(&scene, 90, 10, 0);
    for _ in 0..100 {
        assert_eq!(ask(&scene, None).await.0, 200);
    }
    let got = (blue.load(Ordering::SeqCst), green.load(Ordering::SeqCst));
    assert_eq!(got, (90, 10));
    let chosen = ask(&scene, Some("GREEN")).await;
    assert_eq!(chosen, (200, "green".to_owned(), "green".to_owned()));
    let (status, _, text) = ask(&scene, Some("red")).await;
    assert_eq!(status, 404);
    assert!(text.contains("no deployment `red`"), "{text}");
    share(&scene, 0, 0, 0);
    let (status, _, text) = ask(&scene, None).await;
    assert_eq!(status, 404);
    assert!(
        text.contains("No deployment of the endpoint gets requests"),
        "{text}"
    );
}

#[tokio::test]
async fn copies_go_to_another_deployment_whose_answers_nobody_gets() {
    let scene = Scene::new().await;
    let (backend, blue) = process(&scene, "blue");
    scene.blue.switch(Ok(pool(&[&backend])));
    let (target, green) = green(&scene);
    share(&scene, 100, 0, 50);
    for _ in 0..100 {
        assert_eq!(ask(&scene, None).await.1, "blue");
    }
    while target.counters.load().requests < 50 {
        tokio::task::yield_now().await;
    }
    let got = (blue.load(Ordering::SeqCst), green.load(Ordering::SeqCst));
    assert_eq!(got, (100, 50));
}

#[tokio::test]
async fn requests_that_are_not_kept_are_copied_as_they_pass() {
    let scene = Scene::new().await;
    let echo = |name: &str| {
        let socket = scene.folder.join(format!("echo-{name}"));
        let listener = UnixListener::bind(&socket).unwrap();
        let (sender, lengths) = tokio::sync::mpsc::unbounded_channel();
        let take = async move |body: axum::body::Bytes| sender.send(body.len()).unwrap();
        let score = post(take).layer(axum::extract::DefaultBodyLimit::disable());
        let app = Router::new().route("/score", score);
        tokio::spawn(async move { axum::serve(listener, app).await });
        (Arc::new(Backend::new(Address::Socket(socket))), lengths)
    };
    let (blue, mut blues) = echo("blue");
    scene.blue.switch(Ok(pool(&[&blue])));
    let (target, _) = green(&scene);
    let (backend, mut greens) = echo("green");
    target.switch(Ok(pool(&[&backend])));
    share(&scene, 100, 0, 100);
    let send = async |body: reqwest::Body| {
        let request = reqwest::Client::new().post(format!("{}/score", scene.url));
        let request = request.header("Authorization", "Bearer first");
        assert_eq!(request.body(body).send().await.unwrap().status(), 200);
    };
    let in_parts = |length: usize| {
        let part = vec![b'x'; length];
        let parts = futures_util::stream::iter([Ok::<_, std::io::Error>(part)]);
        reqwest::Body::wrap_stream(parts)
    };
    let (known, unknown, empty) = (3 << 20, 5 << 20, 0);
    send(vec![b'x'; known].into()).await;
    send(in_parts(unknown)).await;
    send(in_parts(empty)).await;
    send(in_parts(17 << 20)).await;
    send(in_parts(1)).await;
    for length in [known, unknown, empty, 17 << 20, 1] {
        assert_eq!(blues.recv().await, Some(length));
    }
    // The longest got no copy. Copies may overtake each other.
    let mut copied = Vec::new();
    for _ in 0..4 {
        copied.extend(greens.recv().await);
    }
    copied.sort_unstable();
    assert_eq!(copied, [empty, 1, known, unknown]);
    let log = std::fs::read_to_string(scene.folder.join("green.log")).unwrap();
    assert!(
        log.contains("no copy of POST /score: it is too long"),
        "{log}"
    );
}

#[tokio::test]
async fn a_process_that_does_not_answer_is_replaced_by_another() {
    let scene = Scene::new().await;
    let dead = Arc::new(Backend::new(Address::Socket(scene.folder.join("nobody"))));
    let (alive, count) = process(&scene, "blue");
    scene.blue.switch(Ok(pool(&[&dead, &alive])));
    for _ in 0..10 {
        assert_eq!(ask(&scene, None).await.0, 200);
    }
    assert_eq!(count.load(Ordering::SeqCst), 10);
}

#[tokio::test]
async fn whoever_finds_only_dead_processes_waits_until_others_are_there() {
    let scene = Scene::new().await;
    let dead = |name: &str| Arc::new(Backend::new(Address::Socket(scene.folder.join(name))));
    let dead = [dead("nobody"), dead("nobody-else"), dead("nor-a-third")];
    let both = pool(&[&dead[0], &dead[1], &dead[2]]);
    scene.blue.switch(Ok(Arc::clone(&both)));
    let later = async {
        // As when those who watch the processes are late.
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        for one in &dead {
            both.remove(one);
        }
        both.wanted.notified().await;
        both.add(process(&scene, "blue").0);
    };
    let (answer, ()) = tokio::join!(ask(&scene, None), later);
    assert_eq!(answer.0, 200);
}

#[tokio::test]
async fn a_request_waits_for_a_process_that_is_started_again() {
    let scene = Scene::new().await;
    let empty = pool(&[]);
    scene.blue.switch(Ok(Arc::clone(&empty)));
    let later = async {
        empty.wanted.notified().await;
        empty.add(process(&scene, "blue").0);
    };
    let (answer, ()) = tokio::join!(ask(&scene, None), later);
    assert_eq!(answer.0, 200);
}

#[tokio::test]
async fn who_waits_is_asked_for_as_the_new_generation_is() {
    let scene = Scene::new().await;
    let empty = pool(&[]);
    scene.blue.switch(Ok(Arc::clone(&empty)));
    let app = Router::new().route("/v2/predict", post(async || "new"));
    let socket = scene.folder.join("s-new");
    let listener = UnixListener::bind(&socket).unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    let deployment = Deployment {
        program: Some(Program {
            command: "x".to_owned(),
            folder: None,
            port: None,
            routes: Routes {
                scoring: "/v2/predict".to_owned(),
                ..Routes::default()
            },
        }),
        ..Deployment::default()
    };
    let new = Arc::new(Backend::new(Address::Socket(socket)));
    let later = async {
        empty.wanted.notified().await;
        scene.blue.switch(Ok(asked_as(&deployment, &[&new])));
    };
    let (answer, ()) = tokio::join!(ask(&scene, None), later);
    assert_eq!((answer.0, answer.2.as_str()), (200, "new"));
}

#[tokio::test]
async fn who_finds_all_busy_is_told_to_come_again_and_a_slow_answer_ends() {
    let scene = Scene::new().await;
    let (backend, count) = process(&scene, "blue");
    let requests = RequestSettings {
        timeout_ms: Some(1500),
        max_concurrent: Some(1),
        max_queue_wait_ms: Some(10),
    };
    let deployment = Deployment {
        requests,
        ..Deployment::default()
    };
    scene.blue.switch(Ok(asked_as(&deployment, &[&backend])));
    let slow = async {
        let answer = scene.score("first", "hang").await;
        assert_eq!(answer.0, 408, "{}", answer.1);
    };
    let second = async {
        while count.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        let (status, _, text) = ask(&scene, None).await;
        assert_eq!(status, 429, "{text}");
    };
    tokio::join!(slow, second);
    assert_eq!(ask(&scene, None).await.0, 200);
}

/// What waits for a process to come up has not stood in its queue.
#[tokio::test]
async fn the_queue_begins_when_there_is_a_process() {
    let scene = Scene::new().await;
    let (backend, _) = process(&scene, "blue");
    let queue = Duration::from_millis(200);
    let deployment = Deployment {
        requests: RequestSettings {
            max_concurrent: Some(1),
            max_queue_wait_ms: Some(200),
            ..RequestSettings::default()
        },
        ..Deployment::default()
    };
    let pool = asked_as(&deployment, &[]);
    scene.blue.switch(Ok(Arc::clone(&pool)));
    let comes_up = async {
        tokio::time::sleep(2 * queue).await;
        pool.add(backend);
    };
    let (first, second, ()) = tokio::join!(ask(&scene, None), ask(&scene, None), comes_up);
    assert_eq!((first.0, second.0), (200, 200));
}

#[tokio::test]
async fn a_token_opens_until_it_expires_where_tokens_are_taken() {
    let scene = Scene::new().await;
    scene.healthy();
    let mut known = orders("first");
    known.auth_mode = AuthMode::AmlToken;
    let keys = known.keys.clone();
    scene.say(known);
    let now = chrono::Local::now().timestamp_millis();
    let good = endpoint_tokens::issue(&keys, Time(now + 3_600_000));
    let old = endpoint_tokens::issue(&keys, Time(now - 1));
    assert_eq!(scene.score(&good, "x").await.0, 200);
    assert_eq!(scene.score(&old, "x").await.0, 401);
    assert_eq!(scene.score("first", "x").await.0, 401);
}
