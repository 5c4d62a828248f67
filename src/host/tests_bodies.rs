//! What passes through the front: bytes as they are, streams as they come, compressed bodies; and
//! programs, which have paths of their own.

use std::{convert::Infallible, io::Write, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes},
    http::{HeaderMap, Uri, header},
    response::{IntoResponse, Response},
    routing::{any, post},
};
use flate2::{Compression, write::GzEncoder};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UnixListener},
    sync::mpsc,
};

use super::tests::Scene;
use api::deployments::{Deployment, Program, RequestSettings, Routes};

/// Puts a server of our own behind the scene.
fn behind(scene: &Scene, app: Router) {
    let socket = scene.folder.join("s");
    let listener = UnixListener::bind(&socket).unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    scene.behind(&socket);
}

fn request(scene: &Scene, path: &str) -> reqwest::RequestBuilder {
    let url = format!("{}{path}", scene.url);
    let request = reqwest::Client::new().post(url);
    request.header("Authorization", "Bearer first")
}

async fn echo(headers: HeaderMap, body: Bytes) -> Response {
    let kind = headers.get(header::CONTENT_TYPE).cloned();
    let coding = headers.get(header::CONTENT_ENCODING).cloned();
    let mut answer = body.into_response();
    if let Some(kind) = kind {
        answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
    if let Some(coding) = coding {
        answer.headers_mut().insert("was-coded", coding);
    }
    answer
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn bytes_pass_as_they_are() {
    let scene = Scene::new().await;
    behind(&scene, Router::new().route("/score", post(echo)));
    let bytes: Vec<u8> = (0..=255).cycle().take(3 << 19).collect();
    for length in [0, 1, 300, 3 << 19] {
        let part = bytes[..length].to_vec();
        let sent = request(&scene, "/score").header("Content-Type", "image/png");
        let answer = sent.body(part.clone()).send().await.unwrap();
        assert_eq!(answer.headers()["content-type"], "image/png");
        assert_eq!(answer.bytes().await.unwrap(), part);
    }
}

#[tokio::test]
async fn a_stream_passes_as_it_comes() {
    let scene = Scene::new().await;
    let (sender, receiver) = mpsc::unbounded_channel::<&'static str>();
    let receiver = std::sync::Mutex::new(Some(receiver));
    let events = async move || {
        let receiver = receiver.lock().unwrap().take().unwrap();
        let parts = futures_util::stream::unfold(receiver, async |mut receiver| {
            let part = receiver.recv().await?;
            Some((Ok::<_, Infallible>(part), receiver))
        });
        let kind = [(header::CONTENT_TYPE, "text/event-stream")];
        (kind, Body::from_stream(parts)).into_response()
    };
    let events = std::sync::Arc::new(events);
    let route = post(move || {
        let events = std::sync::Arc::clone(&events);
        async move { events().await }
    });
    behind(&scene, Router::new().route("/score", route));
    let sent = request(&scene, "/score").header("Accept-Encoding", "gzip");
    let asked = tokio::spawn(sent.send());
    sender.send("data: 1\n\n").unwrap();
    let mut answer = asked.await.unwrap().unwrap();
    assert!(!answer.headers().contains_key("content-encoding"));
    // Each part is there before the next one is made.
    assert_eq!(answer.chunk().await.unwrap().unwrap(), "data: 1\n\n");
    sender.send("data: 2\n\n").unwrap();
    assert_eq!(answer.chunk().await.unwrap().unwrap(), "data: 2\n\n");
    drop(sender);
    assert_eq!(answer.chunk().await.unwrap(), None);
}

#[tokio::test]
async fn what_comes_compressed_reaches_the_script_as_it_was() {
    let scene = Scene::new().await;
    behind(&scene, Router::new().route("/score", post(echo)));
    let text = "[1, 2, 3]".repeat(1000);
    let sent = |body: Vec<u8>| {
        let sent = request(&scene, "/score").header("Content-Encoding", "gzip");
        sent.header("Content-Type", "application/json")
            .body(body)
            .send()
    };
    let answer = sent(packed(text.as_bytes())).await.unwrap();
    assert!(!answer.headers().contains_key("was-coded"));
    assert_eq!(answer.text().await.unwrap(), text);
    let answer = sent(b"no gzip at all".to_vec()).await.unwrap();
    assert_eq!(answer.status(), 400);
    assert!(
        answer
            .text()
            .await
            .unwrap()
            .contains("says that it is gzip")
    );
    // A few hundred kilobytes that would fill the memory.
    let bomb = packed(&vec![0; 300 << 20]);
    assert_eq!(sent(bomb).await.unwrap().status(), 413);
}

#[tokio::test]
async fn a_long_answer_is_compressed_for_whoever_takes_that() {
    let scene = Scene::new().await;
    behind(&scene, Router::new().route("/score", post(echo)));
    let text = "[1, 2, 3]".repeat(1000);
    let answer = async |kind: &str, taken: &str, text: &str| {
        let sent = request(&scene, "/score").header("Accept-Encoding", taken);
        let sent = sent.header("Content-Type", kind).body(text.to_owned());
        let answer = sent.send().await.unwrap();
        let coding = answer.headers().get("content-encoding").cloned();
        (coding, answer.bytes().await.unwrap())
    };
    let json = "application/json";
    let (coding, bytes) = answer(json, "gzip", &text).await;
    assert_eq!(coding.unwrap(), "gzip");
    assert_eq!(bytes, packed(text.as_bytes()));
    for (kind, taken, text) in [
        (json, "identity", text.as_str()),
        (json, "gzip", "short"),
        ("image/png", "gzip", text.as_str()),
    ] {
        let (coding, bytes) = answer(kind, taken, text).await;
        assert_eq!((coding, bytes.as_ref()), (None, text.as_bytes()));
    }
}

fn program(scene: &Scene) {
    scene.heed(&Deployment {
        program: Some(Program {
            command: "serve".to_owned(),
            folder: None,
            port: None,
            routes: Routes {
                scoring: "/v1/models/half:predict".to_owned(),
                ..Routes::default()
            },
        }),
        ..Deployment::default()
    });
}

#[tokio::test]
async fn a_program_is_asked_at_its_own_paths_and_packs_by_itself() {
    let scene = Scene::new().await;
    let show = async |uri: Uri, headers: HeaderMap| {
        let coded = headers.contains_key(header::CONTENT_ENCODING);
        let key = headers.contains_key(header::AUTHORIZATION);
        format!("{uri} {coded} {key}")
    };
    behind(&scene, Router::new().fallback(any(show)));
    let ask = async |path: &str| {
        let sent = request(&scene, path).header("Content-Encoding", "gzip");
        let answer = sent.body(packed(b"x")).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    assert_eq!(ask("/v2/health").await.0, 404);
    program(&scene);
    let score = ask("/score?a=1").await;
    let scored = "/v1/models/half:predict?a=1 true false".to_owned();
    assert_eq!(score, (200, scored));
    let health = ask("/v2/health").await;
    assert_eq!(health, (200, "/v2/health true false".to_owned()));
    let url = format!("{}/v2/health", scene.url);
    let strange = reqwest::Client::new().delete(url).send().await.unwrap();
    assert_eq!(strange.status(), 401);
}

#[tokio::test]
async fn a_request_that_does_not_come_to_its_end_is_given_up() {
    let scene = Scene::new().await;
    scene.healthy();
    scene.heed(&Deployment {
        requests: RequestSettings {
            timeout_ms: Some(50),
            ..RequestSettings::default()
        },
        ..Deployment::default()
    });
    let address = scene.url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = "POST /score HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer first\r\n\
                Content-Length: 5\r\n\r\nhal";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = stream.read_buf(&mut answer);
    tokio::time::timeout(Duration::from_secs(20), read)
        .await
        .expect("it is answered")
        .unwrap();
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
}

#[tokio::test]
async fn a_malformed_body_is_the_fault_of_who_sends_it() {
    let scene = Scene::new().await;
    behind(&scene, Router::new().route("/score", post(echo)));
    let address = scene.url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = "POST /score HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer first\r\n\
                   Transfer-Encoding: chunked\r\n\r\nno number\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = stream.read_buf(&mut answer);
    tokio::time::timeout(Duration::from_secs(20), read)
        .await
        .expect("it is answered")
        .unwrap();
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}

#[tokio::test]
async fn a_browser_may_ask_without_a_key_what_it_may_send_and_nothing_else() {
    let scene = Scene::new().await;
    let show = async |uri: Uri, body: Bytes| format!("{uri} {}", body.len());
    behind(&scene, Router::new().fallback(any(show)));
    program(&scene);
    let ask = async |path: &str, origin: bool| {
        let url = format!("{}{path}", scene.url);
        let mut sent = reqwest::Client::new().request(reqwest::Method::OPTIONS, url);
        if origin {
            sent = sent.header("Origin", "https://shop.example.com");
            sent = sent.header("Access-Control-Request-Method", "POST");
        }
        let answer = sent.body("xyz").send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let asked = (200, "/v1/models/half:predict 0".to_owned());
    assert_eq!(ask("/score", true).await, asked);
    assert_eq!(ask("/score", false).await.0, 401);
    assert_eq!(ask("/admin", true).await.0, 401);
}
