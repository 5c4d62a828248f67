//! The front, before a scoring process that is a few lines of axum.

use std::{
    fs::{self, File, FileTimes},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::{get, post},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixListener},
};

use super::{
    access::AccessLog, backend::Backend, front::Front, orders::Orders, pool::Pool, process::append,
    stream::Address, target::Target,
};
use api::{
    deployments::Deployment,
    endpoints::{AuthMode, EndpointKeys, Traffic},
    work::{DeploymentOrders, HostOrders, Secrets},
};
use client::Client;

/// What the store would say.
type Known = Arc<Mutex<Option<HostOrders>>>;

pub struct Scene {
    pub folder: PathBuf,
    pub known: Known,
    pub front: Arc<Front>,
    pub blue: Arc<Target>,
    pub url: String,
    number: AtomicU64,
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

pub fn orders(primary: &str) -> HostOrders {
    HostOrders {
        workspace: "churn".to_owned(),
        name: "iris-ep".to_owned(),
        running: true,
        number: 1,
        deployments: vec![deployment(1, "blue"), deployment(2, "green")],
        traffic: [("blue".to_owned(), 100)].into(),
        mirror_traffic: Traffic::new(),
        auth_mode: AuthMode::Key,
        keys: EndpointKeys {
            primary: primary.to_owned(),
            secondary: "second".to_owned(),
        },
        port: None,
        pinned_port: None,
        others: Vec::new(),
    }
}

fn deployment(id: i64, name: &str) -> DeploymentOrders {
    DeploymentOrders {
        id,
        name: name.to_owned(),
        generation: 1,
        deployment: Deployment::default(),
        autoscaled: false,
        secrets: Secrets::default(),
        secret_files: Secrets::default(),
        missing_secrets: Vec::new(),
        model: None,
        model_workspace: None,
        model_path: None,
    }
}

impl Scene {
    /// A front that answers on a port of its own, with nothing behind it.
    pub async fn new() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = std::env::temp_dir().join(format!("aml-front-{}", uuid::Uuid::new_v4()));
        fs::create_dir(&folder).unwrap();
        let known: Known = Arc::new(Mutex::new(Some(orders("first"))));
        let store = Router::new()
            .route(
                "/api/v1/hosts.orders",
                post(async |State(known): State<Known>| Json(known.lock().unwrap().clone())),
            )
            .with_state(Arc::clone(&known));
        let orders = Orders::read(Client::in_process(store), 1, folder.join("stamp"));
        let log = append(&folder.join("log")).unwrap();
        let access = AccessLog::open(&folder.join("access.log")).unwrap();
        let front = Arc::new(Front::new(orders.await.unwrap(), log, access));
        let log = append(&folder.join("blue.log")).unwrap();
        let blue = Arc::new(Target::new(1, "blue".to_owned(), log));
        front.add(Arc::clone(&blue));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(Arc::clone(&front).serve(listener));
        Self {
            folder,
            known,
            front,
            blue,
            url,
            number: AtomicU64::new(100),
        }
    }

    /// Puts a scoring process behind it: echoes, fails on demand, shows what it was sent.
    pub fn healthy(&self) {
        let app = Router::new()
            .route(
                "/score",
                post(async |headers: HeaderMap, body: Bytes| {
                    if body == "fail" {
                        return (StatusCode::INTERNAL_SERVER_ERROR, "script failed".into());
                    }
                    let key = headers.contains_key("authorization");
                    let id = headers["x-request-id"].to_str().unwrap().to_owned();
                    (StatusCode::OK, format!("{} {key} {id}", body.len()))
                }),
            )
            .route("/swagger.json", get(async || "{}"));
        let socket = self.folder.join("s");
        let listener = UnixListener::bind(&socket).unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        self.behind(&socket);
    }

    pub fn behind(&self, socket: &Path) {
        let pool = Arc::new(Pool::default());
        pool.add(Arc::new(Backend::new(Address::Socket(socket.to_owned()))));
        self.blue.switch(Ok(pool));
    }

    /// Has what answers asked as a deployment says.
    pub fn heed(&self, deployment: &Deployment) {
        let place = self.blue.current().unwrap().place(None).unwrap();
        let pool = Arc::new(Pool::heeding(Arc::new(deployment.into())));
        pool.add(Arc::clone(place.backend()));
        self.blue.switch(Ok(pool));
    }

    /// Changes what the store would say, as an operation does.
    pub fn say(&self, orders: HostOrders) {
        let number = self.number.fetch_add(1, Ordering::SeqCst);
        *self.known.lock().unwrap() = Some(orders);
        self.touch(number);
    }

    /// What an operation does after it has changed the store.
    fn touch(&self, seconds: u64) {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let stamp = File::create(self.folder.join("stamp")).unwrap();
        stamp
            .set_times(FileTimes::new().set_modified(time))
            .unwrap();
    }

    pub async fn score(&self, key: &str, body: &'static str) -> (u16, String) {
        let request = reqwest::Client::new()
            .post(format!("{}/score", self.url))
            .header("Authorization", format!("Bearer {key}"))
            .header("x-request-id", "r-1")
            .body(body);
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }
}

#[tokio::test]
async fn either_key_opens_and_the_script_never_sees_it() {
    let scene = Scene::new().await;
    scene.healthy();
    let answer = (200, "3 false r-1".to_owned());
    assert_eq!(scene.score("first", "abc").await, answer);
    assert_eq!(scene.score("second", "abc").await, answer);
    for wrong in ["", "firs", "first2", "third"] {
        let (status, text) = scene.score(wrong, "abc").await;
        assert_eq!(status, 401, "{wrong}");
        assert!(text.contains("Authorization: Bearer KEY"), "{text}");
    }
    let bare = reqwest::get(format!("{}/swagger.json", scene.url)).await;
    assert_eq!(bare.unwrap().status(), 401);
}

#[tokio::test]
async fn a_replaced_key_stops_working_at_once() {
    let scene = Scene::new().await;
    scene.healthy();
    assert_eq!(scene.score("first", "").await.0, 200);
    *scene.known.lock().unwrap() = Some(orders("new"));
    scene.touch(1);
    assert_eq!(scene.score("first", "").await.0, 401);
    assert_eq!(scene.score("new", "").await.0, 200);
    *scene.known.lock().unwrap() = None;
    scene.touch(2);
    assert_eq!(scene.score("new", "").await.0, 503);
    assert_eq!(scene.score("", "").await.0, 503);
}

#[tokio::test]
async fn without_a_scoring_process_it_says_why() {
    let scene = Scene::new().await;
    let (status, text) = scene.score("first", "").await;
    assert_eq!(status, 503);
    assert!(text.contains("is starting"), "{text}");
    let live = reqwest::get(&scene.url).await.unwrap();
    assert_eq!(live.status(), 503);
    assert_eq!(live.headers()["retry-after"], "1");
    scene.behind(&scene.folder.join("nobody"));
    let (status, text) = scene.score("first", "").await;
    assert_eq!(status, 502);
    assert!(text.contains("did not answer"), "{text}");
    assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
}

#[tokio::test]
async fn requests_are_counted_and_logged_without_what_is_secret() {
    let scene = Scene::new().await;
    scene.healthy();
    scene.score("first", "payload").await;
    assert_eq!(
        scene.score("first", "fail").await,
        (500, "script failed".to_owned())
    );
    scene.score("wrong", "").await;
    let traffic = scene.blue.counters.load();
    // The last one was not the deployment's.
    assert_eq!((traffic.requests, traffic.errors), (2, 1));
    assert!(traffic.p99_ms >= traffic.p50_ms && traffic.p50_ms > 0.0);
    let read = |name: &str| fs::read_to_string(scene.folder.join(name)).unwrap();
    let log = read("blue.log") + &read("log");
    let lines: Vec<_> = log.lines().collect();
    assert!(lines[0].contains("I front - POST /score 200 "), "{log}");
    assert!(lines[0].ends_with("ms r-1"), "{log}");
    assert!(lines[2].contains("POST /score 401 "), "{log}");
    for secret in ["first", "wrong", "payload"] {
        assert!(!log.contains(secret), "{log}");
    }
}

#[tokio::test]
async fn other_addresses_and_methods_are_refused() {
    let scene = Scene::new().await;
    scene.healthy();
    let client = reqwest::Client::new();
    let get = |path: &str| client.get(format!("{}{path}", scene.url)).send();
    assert_eq!(get("/").await.unwrap().status(), 200);
    assert_eq!(get("/secret").await.unwrap().status(), 404);
    let delete = client.delete(format!("{}/score", scene.url)).send();
    assert_eq!(delete.await.unwrap().status(), 405);
}

#[tokio::test]
async fn a_body_may_be_large_and_of_unknown_length() {
    let scene = Scene::new().await;
    scene.healthy();
    let parts = futures_util::stream::iter(
        (0..64).map(|_| Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; 16 << 10]))),
    );
    let response = reqwest::Client::new()
        .post(format!("{}/score", scene.url))
        .header("Authorization", "Bearer first")
        .body(reqwest::Body::wrap_stream(
            Body::from_stream(parts).into_data_stream(),
        ))
        .send()
        .await
        .unwrap();
    let id = response.headers()["x-request-id"]
        .to_str()
        .unwrap()
        .to_owned();
    assert_eq!(
        response.text().await.unwrap(),
        format!("{} false {id}", 1 << 20)
    );
}

/// Sends the head of a request with a wrong key, a body of five bytes to come.
async fn refused(scene: &Scene) -> TcpStream {
    let address = scene.url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = "POST /score HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer wrong\r\n\
                Content-Length: 5\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn after_a_refusal_the_connection_takes_the_next_request() {
    let scene = Scene::new().await;
    scene.healthy();
    let mut stream = refused(&scene).await;
    // The front sees the head alone first.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let next = "helloPOST /score HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer first\r\n\
                x-request-id: r-2\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc";
    stream.write_all(next.as_bytes()).await.unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).await.unwrap();
    assert!(answers.starts_with("HTTP/1.1 401 "), "{answers}");
    assert!(answers.ends_with("3 false r-2"), "{answers}");
}

#[tokio::test]
async fn a_refusal_says_when_the_connection_ends_with_it() {
    let scene = Scene::new().await;
    let mut stream = refused(&scene).await;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
}
