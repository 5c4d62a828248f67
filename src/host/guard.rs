//! What opens an endpoint: one of its keys, or a token.

use hyper::{
    HeaderMap, Response, StatusCode,
    header::{self, HeaderValue},
};
use subtle::ConstantTimeEq;

use super::{answers::failure, backend::Answer};
use api::{
    Code, Error, Time, endpoint_tokens,
    endpoints::{AuthMode, EndpointKeys, LOCAL},
    work::HostOrders,
};

/// The answer to a request without what opens the endpoint.
pub fn refuse(orders: &HostOrders, headers: &HeaderMap) -> Option<Response<Answer>> {
    // Azure's local endpoints ask for nothing; what is given must be right all the same.
    if orders.name.starts_with(LOCAL) && !headers.contains_key(header::AUTHORIZATION) {
        return None;
    }
    let given = bearer(headers);
    let (is_right, wanted, see) = match orders.auth_mode {
        AuthMode::Key => (
            given.is_some_and(|key| opens(&orders.keys, key)),
            "The endpoint needs one of its keys",
            "Send the header `Authorization: Bearer KEY`; see aml endpoint keys",
        ),
        AuthMode::AmlToken | AuthMode::AadToken => (
            given.is_some_and(|token| endpoint_tokens::is_good(&orders.keys, token, now())),
            "The endpoint needs a token that has not expired",
            "Send the header `Authorization: Bearer TOKEN`; see aml endpoint token",
        ),
    };
    if is_right {
        return None;
    }
    let error = Error::new(Code::Unauthenticated, wanted).hint(see);
    let mut response = failure(StatusCode::UNAUTHORIZED, &error);
    response
        .headers_mut()
        .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    Some(response)
}

pub fn now() -> Time {
    Time(chrono::Local::now().timestamp_millis())
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, key) = headers
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?
        .split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}

/// Both keys are compared whole, so that the time taken says nothing.
fn opens(keys: &EndpointKeys, key: &str) -> bool {
    let primary = keys.primary.as_bytes().ct_eq(key.as_bytes());
    let secondary = keys.secondary.as_bytes().ct_eq(key.as_bytes());
    bool::from(primary | secondary)
}
