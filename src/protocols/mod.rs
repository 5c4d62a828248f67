//! Foreign protocols: their own request and response types, mapped to our operations. An adapter
//! never touches the store.

pub mod mlflow;
