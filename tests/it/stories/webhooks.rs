//! Webhooks: what a receiver gets, what is refused, and that nothing is lost with a server.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
        mpsc,
    },
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use expect_test::expect;
use ring::hmac;
use serde_json::{Value, json};

use crate::support::{Aml, each_mode, eventually, http};

/// A program that is told of events.
pub struct Receiver {
    pub url: String,
    /// What it answers.
    status: Arc<AtomicU16>,
    letters: mpsc::Receiver<Letter>,
}

#[derive(Debug)]
pub struct Letter {
    headers: Vec<(String, String)>,
    body: String,
}

impl Letter {
    fn read(stream: &TcpStream) -> Self {
        let mut reader = BufReader::new(stream);
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).expect("reads");
            if line.trim().is_empty() {
                break;
            }
            if let Some((name, value)) = line.trim().split_once(": ") {
                headers.push((name.to_lowercase(), value.to_owned()));
            }
        }
        let letter = Self {
            headers,
            body: String::new(),
        };
        let length = letter.header("content-length").parse().expect("a number");
        let mut body = vec![0; length];
        reader.read_exact(&mut body).expect("reads the body");
        Self {
            body: String::from_utf8(body).expect("text"),
            ..letter
        }
    }

    fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).expect("the header")
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }

    /// As MLflow tells receivers to check it.
    pub fn is_signed_with(&self, secret: &str) -> bool {
        let signature = self.header("x-mlflow-signature");
        let signature = signature.strip_prefix("v1,").expect("a version");
        let signed = format!(
            "{}.{}.{}",
            self.header("x-mlflow-delivery-id"),
            self.header("x-mlflow-timestamp"),
            self.body
        );
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let signature = BASE64_STANDARD.decode(signature).expect("base64");
        hmac::verify(&key, signed.as_bytes(), &signature).is_ok()
    }
}

impl Receiver {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listens");
        let url = format!("http://{}/hook", listener.local_addr().expect("an address"));
        let status = Arc::new(AtomicU16::new(200));
        let (sender, letters) = mpsc::channel();
        let answer = Arc::clone(&status);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let letter = Letter::read(&stream);
                let status = answer.load(Ordering::SeqCst);
                let _ = write!(
                    &stream,
                    "HTTP/1.1 {status} X\r\nContent-Length: 6\r\nConnection: close\r\n\r\nthanks"
                );
                if sender.send(letter).is_err() {
                    return;
                }
            }
        });
        Self {
            url,
            status,
            letters,
        }
    }

    #[track_caller]
    pub fn next(&self) -> Letter {
        let letter = self.letters.recv_timeout(Duration::from_mins(1));
        letter.expect("is told in time")
    }
}

/// Lets webhooks be on this machine.
pub fn allow_loopback(aml: &Aml) {
    let file = aml.root().join("config.toml");
    let config = std::fs::read_to_string(&file).unwrap_or_default();
    let allow = "[webhooks]\nschemes = [\"https\", \"http\"]\nallow_private = true\n";
    std::fs::write(file, format!("{config}\n{allow}")).expect("writes");
}

#[test]
fn a_receiver_is_told_what_it_asked_for() {
    each_mode(|aml| {
        aml.ok("workspace create -n ws");
        let receiver = Receiver::start();
        let create = format!(
            "webhook create ci --url {} --event model_version.created model_version_alias.created \
             --secret-file secret",
            receiver.url
        );
        aml.write("secret", "hush");
        let refused = aml.fails(2, &create);
        assert!(
            refused.contains("Invalid webhook URL scheme: 'http'"),
            "{refused}"
        );
        allow_loopback(aml);
        let made = aml.ok(&create);
        assert!(!made.contains("hush"), "{made}");
        let tested = aml.json("webhook test ci");
        assert_eq!(tested["accepted"], true, "{tested}");
        assert_eq!(tested["body"], "thanks");
        assert_eq!(receiver.next().json()["data"]["name"], "example_model");
        aml.write("model/weights.txt", "42");
        aml.ok("model register -n iris --path model --tag team=x");
        let letter = receiver.next();
        assert!(letter.is_signed_with("hush"));
        assert!(!letter.is_signed_with("wrong"));
        let mut body = letter.json();
        assert_eq!(body["data"]["tags"], json!({"team": "x"}));
        body["data"] = Value::Null;
        body["timestamp"] = Value::Null;
        assert_eq!(
            body,
            json!({
                "entity": "model_version", "action": "created", "timestamp": null, "data": null,
                "workspace": "ws"
            })
        );
        aml.ok("model alias set iris:1 champion");
        assert_eq!(receiver.next().json()["data"]["alias"], "champion");
        let states = || aml.json("webhook show ci --deliveries --query [].state");
        eventually("the deliveries are over", 20, || {
            (states() == json!(["delivered", "delivered"])).then_some(())
        });
        receiver.status.store(500, Ordering::SeqCst);
        aml.fails(6, "webhook test ci --event model_version_tag.set");
    });
}

#[test]
fn what_is_wrong_is_said() {
    each_mode(|aml| {
        aml.ok("workspace create -n ws");
        let check = |line: &str, expected: expect_test::Expect| {
            expected.assert_eq(&aml.fails(2, line));
        };
        check(
            "webhook create a --url https://127.0.0.1/x --event model_version.created",
            expect![[r"
                Error: url: Webhook URL must not resolve to a non-public IP address. '127.0.0.1' resolves to 127.0.0.1.
                Hint: Whoever runs the server can allow it: [webhooks] allow_private = true in config.toml, or MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS=true
            "]],
        );
        check(
            "webhook create a --url nowhere --event model_version.created",
            expect![[r"
                Error: url: Invalid webhook URL: relative URL without a base
            "]],
        );
        let error = aml.fails(
            2,
            "webhook create a --url https://1.1.1.1 --event model.created",
        );
        assert!(
            error.contains("There is no event `model.created`"),
            "{error}"
        );
        let error = aml.fails(3, "webhook show ci");
        assert!(error.contains("No webhook `ci` in `ws`"), "{error}");
    });
}

/// What is under way when a server is killed is made by the next one.
#[test]
fn no_delivery_is_lost_with_the_server() {
    let aml = Aml::local();
    allow_loopback(&aml);
    let receiver = Receiver::start();
    receiver.status.store(503, Ordering::SeqCst);
    let serve = || {
        let server = aml.start("serve --port 0");
        let line = server.stderr_line("Listening on ", 20);
        let url = line.rsplit(' ').next().expect("a URL").to_owned();
        (server, url)
    };
    let send = |url: &str, path: &str, body: &Value| {
        let url = format!("{url}/api/2.0/mlflow/{path}");
        let headers = [("content-type", "application/json")];
        let (status, body) = http::send("POST", &url, &headers, &body.to_string());
        assert_eq!(status, 200, "{body}");
    };
    let (server, url) = serve();
    let event = json!({"entity": "REGISTERED_MODEL", "action": "CREATED"});
    let webhook = json!({"name": "ci", "url": receiver.url, "events": [event]});
    send(&url, "webhooks", &webhook);
    send(&url, "registered-models/create", &json!({"name": "iris"}));
    let first = receiver.next();
    server.kill();
    server.wait(20);
    receiver.status.store(200, Ordering::SeqCst);
    let (_server, _) = serve();
    let again = receiver.next();
    let id = |letter: &Letter| letter.header("x-mlflow-delivery-id").to_owned();
    assert_eq!(id(&again), id(&first));
    assert_eq!(again.body, first.body);
}
