//! Collecting what was asked and answered over HTTP.

use bytes::Bytes;
use hyper::{
    HeaderMap,
    header::CONTENT_TYPE,
    http::{request, response},
};
use serde_json::{Map, Value};

use super::{
    collecting::{Inlet, event},
    front::REQUEST_ID,
    guard::now,
};
use api::collector::{REQUEST, RESPONSE};

/// What is kept of an answer.
const KEPT: usize = 4 << 20;
const AGENT: &str = concat!("aml/", env!("CARGO_PKG_VERSION"));

/// A request whose answer is to be collected.
pub struct Exchange {
    inlet: Inlet,
    id: String,
    path: String,
    method: String,
}

/// Collects an answer's body while it passes; hands it over when it is dropped.
pub struct Tee {
    exchange: Exchange,
    content_type: Option<String>,
    /// What is said of it besides.
    more: Map<String, Value>,
    body: Vec<u8>,
    length: usize,
}

/// Collects a request, unless this is not one of those that are; with what is to be known for its answer.
pub fn request(inlet: Inlet, parts: &request::Parts, body: &Bytes) -> Option<Exchange> {
    // A number below 10,000 that is as random as an id.
    let drawn = (uuid::Uuid::new_v4().as_u128() % 10_000) as u16;
    if f64::from(drawn) >= inlet.collector().sampling_percent * 100.0 {
        return None;
    }
    let id = parts
        .headers
        .get(REQUEST_ID)
        .and_then(|id| id.to_str().ok());
    let exchange = Exchange {
        id: id.unwrap_or_default().to_owned(),
        path: parts.uri.path().to_owned(),
        method: parts.method.to_string(),
        inlet,
    };
    if exchange.inlet.takes(REQUEST) {
        let kind = content_type(&parts.headers);
        let more = exchange.headers(&parts.headers);
        exchange.put(REQUEST, kind, body.clone(), more);
    }
    exchange.inlet.takes(RESPONSE).then_some(exchange)
}

fn content_type(headers: &HeaderMap) -> Option<String> {
    let kind = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    Some(kind.to_owned())
}

impl Exchange {
    /// Collects the answer.
    pub fn answered(self, parts: &response::Parts) -> Tee {
        let mut more = self.headers(&parts.headers);
        more.insert("statuscode".to_owned(), parts.status.as_u16().into());
        Tee {
            more,
            content_type: content_type(&parts.headers),
            body: Vec::new(),
            length: 0,
            exchange: self,
        }
    }

    /// The headers that are kept, as an attribute.
    fn headers(&self, headers: &HeaderMap) -> Map<String, Value> {
        let kept = self.inlet.collector().headers.iter().filter_map(|name| {
            let value = headers.get(name)?.to_str().ok()?;
            Some((name.to_lowercase(), value.into()))
        });
        let kept: Map<String, Value> = kept.collect();
        let one = (!kept.is_empty()).then(|| ("headers".to_owned(), kept.into()));
        one.into_iter().collect()
    }

    fn put(
        &self,
        collection: &str,
        content_type: Option<String>,
        body: Bytes,
        more: Map<String, Value>,
    ) {
        let kind = format!("azureml.inference.{collection}");
        let time = now();
        let own = [
            ("path", self.path.clone()),
            ("method", self.method.clone()),
            ("correlationid", self.id.clone()),
            ("xrequestid", self.id.clone()),
            ("modelversion", "default".to_owned()),
            ("agent", AGENT.to_owned()),
        ];
        self.inlet.put(collection, time, body.len(), move || {
            let mut event = event(None, &kind, time, content_type.as_deref(), &body);
            for (key, value) in own {
                event.insert(key.to_owned(), value.into());
            }
            event.extend(more);
            event
        });
    }
}

impl Tee {
    pub fn see(&mut self, data: &Bytes) {
        let room = KEPT.saturating_sub(self.body.len());
        self.body.extend_from_slice(&data[..data.len().min(room)]);
        self.length += data.len();
    }
}

impl Drop for Tee {
    fn drop(&mut self) {
        let mut more = std::mem::take(&mut self.more);
        let (kept, length) = (self.body.len(), self.length);
        if length > kept {
            let range = format!("bytes 0-{}/{length}", kept.saturating_sub(1));
            more.insert("contentrange".to_owned(), range.into());
        }
        let kind = self.content_type.take();
        let body = Bytes::from(std::mem::take(&mut self.body));
        self.exchange.put(RESPONSE, kind, body, more);
    }
}
