//! Webhooks: who is told what, in which order, and what happens when a receiver does not answer.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use futures_util::{FutureExt, future::BoxFuture};
use tokio::sync::Notify;

use super::support::{Bench, wait_seconds};
use crate::{Courier, Parcel, Sent};
use api::{
    Code, Error, Result,
    models::{ModelSource, RegisterModel, UpdateModel},
    registered_models::{
        CreateRegisteredModel, DeleteModelAlias, PROMPT_TAG, SetModelAlias, UpdateRegisteredModel,
    },
    webhooks::{
        CreateWebhook, DeleteWebhook, Delivery, Event, GetWebhook, ListDeliveries, ListWebhooks,
        TestWebhook, UpdateWebhook, WebhookStatus,
    },
};
use store::{Attempt, DueDelivery, Sender};

/// Keeps what it is given and answers what it was told to, then 200.
#[derive(Default)]
struct Fake {
    answers: Mutex<VecDeque<u16>>,
    got: Mutex<Vec<Parcel>>,
    sent: Notify,
}

impl Courier for Fake {
    fn check<'a>(&'a self, url: &'a str) -> BoxFuture<'a, Result<()>> {
        let fine = url.starts_with("https://");
        async move {
            fine.then_some(())
                .ok_or_else(|| Error::invalid("Not that address"))
        }
        .boxed()
    }

    fn send(&self, parcel: Parcel) -> BoxFuture<'_, Sent> {
        self.got.lock().unwrap().push(parcel);
        let status = self.answers.lock().unwrap().pop_front().unwrap_or(200);
        self.sent.notify_one();
        let sent = match status {
            0 => Sent {
                error: Some("nobody there".to_owned()),
                ..Sent::default()
            },
            status => Sent {
                status: Some(status),
                body: "answer".to_owned(),
                ..Sent::default()
            },
        };
        async move { sent }.boxed()
    }
}

struct Told {
    bench: Bench,
    post: Arc<Fake>,
}

fn ws() -> String {
    "ws".to_owned()
}

fn webhook(name: &str, events: &[Event]) -> CreateWebhook {
    CreateWebhook {
        workspace: ws(),
        name: name.to_owned(),
        url: "https://example.com/x".to_owned(),
        events: events.to_vec(),
        ..CreateWebhook::default()
    }
}

fn version(name: &str, tags: &[(&str, &str)]) -> RegisterModel {
    let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    RegisterModel {
        workspace: ws(),
        name: name.to_owned(),
        source: ModelSource::Nothing,
        tags: tags.iter().map(pair).collect(),
        uri: Some("s3://bucket".to_owned()),
        ..RegisterModel::default()
    }
}

impl Told {
    async fn new() -> Self {
        let bench = Bench::new().await;
        let post = Arc::new(Fake::default());
        Self { bench, post }.with_post()
    }

    fn with_post(mut self) -> Self {
        let courier: Arc<dyn Courier> = self.post.clone();
        self.bench.service = self.bench.service.clone().with_courier(courier);
        self
    }

    fn answer(&self, statuses: &[u16]) {
        self.post.answers.lock().unwrap().extend(statuses);
    }

    /// `event data` of each parcel so far, in the order in which they were sent.
    fn got(&self) -> Vec<String> {
        let parcels = self.post.got.lock().unwrap();
        let told = |parcel: &Parcel| format!("{} {}", parcel.event, parcel.data);
        parcels.iter().map(told).collect()
    }

    /// Lets deliveries be made until `count` were sent in all and recorded.
    async fn until_sent(&self, count: usize) {
        let deliver = self.bench.service.deliver(std::future::pending());
        let sent = async {
            let all_sent = || self.post.got.lock().unwrap().len() >= count;
            while !all_sent() || self.is_sending().await {
                // The clock of the tests goes on with every look; the real one need not be waited
                // for. When all is sent it must not go on to the next attempt.
                if !all_sent() {
                    self.bench.service.heard();
                }
                tokio::select! {
                    () = self.post.sent.notified() => {}
                    () = tokio::task::yield_now() => {}
                }
            }
        };
        tokio::select! {
            () = deliver => unreachable!("nobody stops it"),
            () = sent => {}
        }
    }

    /// The last attempt was begun and its end is not recorded.
    async fn is_sending(&self) -> bool {
        let last = self.post.got.lock().unwrap().last().cloned();
        let Some(last) = last else {
            return false;
        };
        let list = ListWebhooks {
            workspace: ws(),
            ..ListWebhooks::default()
        };
        for webhook in self.bench.ask(list).await.unwrap().items {
            let all = self.deliveries(&webhook.id).await;
            let sent = all.iter().filter(|delivery| delivery.attempts > 0);
            if sent
                .into_iter()
                .any(|it| it.next_at.is_some_and(|at| at <= last.sent_at))
            {
                return true;
            }
        }
        false
    }

    async fn deliveries(&self, webhook: &str) -> Vec<Delivery> {
        let list = ListDeliveries {
            workspace: ws(),
            webhook: webhook.to_owned(),
        };
        self.bench.ask(list).await.unwrap()
    }
}

#[tokio::test]
async fn each_change_of_a_model_is_told() {
    let told = Told::new().await;
    let ask = &told.bench;
    ask.ask(webhook("all", &Event::ALL)).await.unwrap();
    ask.ask(version("iris", &[("a", "1")])).await.unwrap();
    let tags = UpdateModel {
        workspace: ws(),
        name: "IRIS".to_owned(),
        version: 1,
        set_tags: [("b".to_owned(), "2".to_owned())].into(),
        remove_tags: vec!["a".to_owned()],
        ..UpdateModel::default()
    };
    ask.ask(tags).await.unwrap();
    let alias = SetModelAlias {
        workspace: ws(),
        name: "iris".to_owned(),
        version: 1,
        alias: "champion".to_owned(),
    };
    ask.ask(alias).await.unwrap();
    let no_alias = || DeleteModelAlias {
        workspace: ws(),
        name: "iris".to_owned(),
        alias: "champion".to_owned(),
    };
    ask.ask(no_alias()).await.unwrap();
    ask.ask(no_alias()).await.unwrap();
    told.until_sent(6).await;
    assert_eq!(
        told.got(),
        [
            r#"registered_model.created {"name":"iris","tags":{},"description":null}"#,
            r#"model_version.created {"name":"iris","version":"1","source":"s3://bucket","run_id":null,"tags":{"a":"1"},"description":null}"#,
            r#"model_version_tag.set {"name":"iris","version":"1","key":"b","value":"2"}"#,
            r#"model_version_tag.deleted {"name":"iris","version":"1","key":"a"}"#,
            r#"model_version_alias.created {"name":"iris","alias":"champion","version":"1"}"#,
            r#"model_version_alias.deleted {"name":"iris","alias":"champion"}"#,
        ]
    );
}

#[tokio::test]
async fn each_change_of_a_prompt_is_told_as_one() {
    let told = Told::new().await;
    let ask = &told.bench;
    ask.ask(webhook("all", &Event::ALL)).await.unwrap();
    let prompt = [
        (PROMPT_TAG.to_owned(), "true".to_owned()),
        ("team".to_owned(), "x".to_owned()),
    ];
    let create = CreateRegisteredModel {
        workspace: ws(),
        name: "hello".to_owned(),
        description: "greets".to_owned(),
        tags: prompt.into(),
    };
    ask.ask(create).await.unwrap();
    let text = [
        (PROMPT_TAG, "true"),
        ("mlflow.prompt.text", "Hi {{name}}"),
        ("a", "1"),
    ];
    ask.ask(version("hello", &text)).await.unwrap();
    let tags = UpdateRegisteredModel {
        workspace: ws(),
        name: "hello".to_owned(),
        set_tags: [("b".to_owned(), "2".to_owned())].into(),
        remove_tags: vec!["team".to_owned()],
        ..UpdateRegisteredModel::default()
    };
    ask.ask(tags).await.unwrap();
    told.until_sent(4).await;
    assert_eq!(
        told.got(),
        [
            r#"prompt.created {"name":"hello","tags":{"team":"x"},"description":"greets"}"#,
            r#"prompt_version.created {"name":"hello","version":"1","template":"Hi {{name}}","tags":{"a":"1"},"description":null}"#,
            r#"prompt_tag.set {"name":"hello","key":"b","value":"2"}"#,
            r#"prompt_tag.deleted {"name":"hello","key":"team"}"#,
        ]
    );
}

#[tokio::test]
async fn a_webhook_is_told_what_it_asked_for_while_it_is_active() {
    let told = Told::new().await;
    let ask = &told.bench;
    let created = [Event::ModelVersionCreated];
    ask.ask(webhook("versions", &created)).await.unwrap();
    ask.ask(webhook("names", &[Event::RegisteredModelCreated]))
        .await
        .unwrap();
    ask.bench_disabled("off", &created).await;
    ask.ask(version("iris", &[])).await.unwrap();
    told.until_sent(2).await;
    let count = async |name: &str| told.deliveries(name).await.len();
    assert_eq!(
        (
            count("versions").await,
            count("names").await,
            count("off").await
        ),
        (1, 1, 0)
    );
}

impl Bench {
    async fn bench_disabled(&self, name: &str, events: &[Event]) {
        let disabled = CreateWebhook {
            status: WebhookStatus::Disabled,
            ..webhook(name, events)
        };
        self.ask(disabled).await.unwrap();
    }
}

#[tokio::test]
async fn a_delivery_is_tried_again_with_growing_waits_also_by_the_next_server() {
    let told = Told::new().await;
    let hook = told
        .bench
        .ask(webhook("hook", &[Event::ModelVersionCreated]))
        .await
        .unwrap();
    told.answer(&[0, 503, 429, 500, 0]);
    told.bench.ask(version("iris", &[])).await.unwrap();
    told.until_sent(5).await;
    let fifth = told.deliveries(&hook.id).await.remove(0);
    assert_eq!(fifth.error.as_deref(), Some("nobody there"));
    assert_eq!((fifth.attempts, fifth.state.name()), (5, "pending"));
    let next = Told {
        bench: told.bench.reopened(),
        post: told.post.clone(),
    };
    let next = next.with_post();
    wait_seconds(60);
    next.until_sent(6).await;
    let sixth = next.deliveries("hook").await.remove(0);
    assert_eq!(
        (
            sixth.state.name(),
            sixth.status,
            sixth.attempts,
            sixth.error
        ),
        ("delivered", Some(200), 6, None)
    );
    let parcels = next.post.got.lock().unwrap();
    assert!(parcels.iter().all(|parcel| parcel.id == sixth.id));
    for (number, pair) in parcels.windows(2).enumerate() {
        let waited = pair[1].sent_at.since(pair[0].sent_at);
        assert!(
            waited >= 1000 << number,
            "attempt {number} after {waited} ms"
        );
    }
}

#[tokio::test]
async fn what_is_refused_for_good_or_for_a_day_is_given_up() {
    let told = Told::new().await;
    let hook = told
        .bench
        .ask(webhook("hook", &[Event::ModelVersionCreated]))
        .await
        .unwrap();
    told.answer(&[410, 302, 500]);
    told.bench.ask(version("iris", &[])).await.unwrap();
    told.until_sent(1).await;
    assert_eq!(told.deliveries(&hook.id).await[0].state.name(), "failed");
    told.bench.ask(version("iris", &[])).await.unwrap();
    told.until_sent(2).await;
    assert_eq!(told.deliveries(&hook.id).await[0].state.name(), "failed");
    told.bench.ask(version("iris", &[])).await.unwrap();
    wait_seconds(25 * 3600);
    told.until_sent(3).await;
    let newest = told.deliveries(&hook.id).await.remove(0);
    assert_eq!((newest.state.name(), newest.next_at), ("failed", None));
}

#[tokio::test]
async fn a_secret_is_sealed_and_never_shown() {
    let told = Told::new().await;
    let ask = &told.bench;
    let create = CreateWebhook {
        secret: Some("hush".to_owned()),
        ..webhook("hook", &[Event::ModelVersionCreated])
    };
    let hook = ask.ask(create).await.unwrap();
    assert!(hook.signed);
    assert!(!serde_json::to_string(&hook).unwrap().contains("hush"));
    let database = std::fs::read(ask.home.join("aml.db-wal")).unwrap();
    assert!(!database.windows(4).any(|part| part == b"hush"));
    ask.ask(version("iris", &[])).await.unwrap();
    told.until_sent(1).await;
    let secret = |told: &Told| told.post.got.lock().unwrap().last().unwrap().secret.clone();
    assert_eq!(secret(&told).as_deref(), Some("hush"));
    let unsign = UpdateWebhook {
        workspace: ws(),
        webhook: "hook".to_owned(),
        secret: Some(String::new()),
        ..UpdateWebhook::default()
    };
    assert!(!ask.ask(unsign).await.unwrap().signed);
    let test = TestWebhook {
        workspace: ws(),
        webhook: hook.id.clone(),
        event: Some(Event::PromptAliasDeleted),
    };
    let tested = ask.ask(test).await.unwrap();
    assert_eq!(
        (tested.accepted, tested.status, tested.body.as_str()),
        (true, Some(200), "answer")
    );
    assert_eq!(secret(&told), None);
    assert_eq!(told.deliveries("hook").await.len(), 1);
}

#[tokio::test]
async fn a_webhook_is_called_by_its_name_or_id() {
    let told = Told::new().await;
    let ask = &told.bench;
    let events = [Event::ModelVersionCreated];
    let first = ask.ask(webhook("hook", &events)).await.unwrap();
    let get = |called: &str| GetWebhook {
        workspace: ws(),
        webhook: called.to_owned(),
    };
    assert_eq!(ask.ask(get("hook")).await.unwrap(), first);
    let second = ask.ask(webhook("hook", &events)).await.unwrap();
    assert_eq!(ask.ask(get("hook")).await.unwrap_err().code, Code::Conflict);
    assert_eq!(ask.ask(get(&second.id)).await.unwrap(), second);
    let page = |page: Option<String>| ListWebhooks {
        workspace: ws(),
        limit: Some(1),
        page,
    };
    let newest = ask.ask(page(None)).await.unwrap();
    assert_eq!(newest.items, std::slice::from_ref(&second));
    let rest = ask.ask(page(newest.next)).await.unwrap();
    assert_eq!(
        (rest.items.as_slice(), rest.next),
        ([first].as_slice(), None)
    );
    let delete = DeleteWebhook {
        workspace: ws(),
        webhook: second.id.clone(),
    };
    ask.ask(delete).await.unwrap();
    assert_eq!(
        ask.ask(get(&second.id)).await.unwrap_err().code,
        Code::NotFound
    );
    let unknown = ask.ask(get("hok")).await.unwrap_err();
    assert_eq!(unknown.hints, ["Did you mean `hook`?"]);
    for wrong in [
        CreateWebhook {
            events: Vec::new(),
            ..webhook("a", &events)
        },
        CreateWebhook {
            url: "http://x".to_owned(),
            ..webhook("a", &events)
        },
        webhook("a b", &events),
    ] {
        assert_eq!(ask.ask(wrong).await.unwrap_err().code, Code::Invalid);
    }
}

#[tokio::test]
async fn what_a_process_that_died_was_sending_another_one_sends_at_once() {
    let told = Told::new().await;
    let ci = webhook("ci", &[Event::ModelVersionCreated]);
    told.bench.ask(ci).await.unwrap();
    told.bench.ask(version("iris", &[])).await.unwrap();
    let store = &told.bench.service.store;
    let now = told.bench.service.now();
    let until = api::Time(now.0 + 90_000);
    let first = store.become_sender().unwrap();
    let second = store.become_sender().unwrap();
    let take = async |sender: &Sender| store.take_delivery(sender, now, until).await;
    let taken = take(&first).await.unwrap().unwrap();
    assert_eq!(store.release_deliveries(now).await.unwrap(), 0);
    assert!(take(&second).await.unwrap().is_none());
    let lock = store.home.sender_lock(&taken.sender);
    drop(first);
    std::os::unix::fs::symlink(&lock, &lock).unwrap();
    let unknown = store.release_deliveries(now).await.unwrap();
    assert_eq!(unknown, 0, "nobody can tell whether it is held");
    std::fs::remove_file(&lock).unwrap();
    assert_eq!(store.release_deliveries(now).await.unwrap(), 1);
    let again = take(&second).await.unwrap().unwrap();
    let end = async |of: &DueDelivery| {
        let (sender, attempt) = (of.sender.clone(), Attempt::default());
        store.end_attempt(of.number, sender, attempt, now).await
    };
    end(&taken).await.unwrap();
    let next = store.next_delivery().await.unwrap();
    assert_eq!(next, Some(until), "it is the second one's now");
    end(&again).await.unwrap();
    assert_eq!(store.next_delivery().await.unwrap(), None);
}
