//! Where files are, in every form in which files and commands say it.

/// Whether a text names a path of this machine rather than an address or an asset.
pub fn is_local(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let is_address = lower.starts_with("azureml:")
        || lower.starts_with("runs:/")
        || lower.starts_with("/subscriptions/")
        || scheme(&lower).is_some_and(|scheme| scheme != "file");
    !is_address
}

/// A text with its `%20` and the like decoded; what is no such sequence, or no UTF-8, is kept or replaced.
pub fn percent_decode(text: &str) -> String {
    percent_encoding::percent_decode_str(text)
        .decode_utf8_lossy()
        .into_owned()
}

/// The part of an address before `://`.
fn scheme(text: &str) -> Option<&str> {
    let (scheme, _) = text.split_once("://")?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    (!scheme.is_empty() && scheme.chars().all(plain)).then_some(scheme)
}
