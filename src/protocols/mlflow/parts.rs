//! Uploads in parts, as clients make them of large files when asked to: begun, sent to an address for
//! each part, and completed or aborted.

use std::collections::BTreeMap;

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, header::ETAG},
    response::IntoResponse,
};
use serde::Serialize;

use super::{
    address::{Owner, Target, target_to_write},
    call::{Call, Place},
    error::{ErrorCode, Failure},
    fields::{Fields, missing},
    signed,
    wire::{Answer, answer, done},
};
use api::{
    files::Hash,
    uploads::{AbortUpload, CompleteUpload, CreateUpload},
};

/// Clients that hear this send the file whole.
const WHOLE: &str = "Multipart upload is not supported for the current artifact repository";

#[derive(Serialize)]
struct Begun {
    upload_id: String,
    credentials: Vec<Credential>,
}

#[derive(Serialize)]
struct Credential {
    url: String,
    part_number: u32,
    headers: BTreeMap<String, String>,
}

pub async fn create(headers: HeaderMap, call: Call) -> Answer {
    let folder = call.fields.required("file_folder")?;
    let name = name_of(&call.fields)?;
    let parts = call.fields.integer("num_parts")?.unwrap_or(1);
    let Target { owner, path } = target_to_write(&call, &format!("{folder}/{name}")).await?;
    let Owner::Run(run) = owner else {
        return Err(Failure::new(ErrorCode::NotImplemented, WHOLE));
    };
    let create = CreateUpload {
        workspace: call.workspace.clone(),
        run,
        path,
        parts: u32::try_from(parts).unwrap_or_default(),
    };
    let upload = call.perform(create).await?;
    let mut credentials = Vec::new();
    for part_number in 1..=upload.parts {
        let path = format!(
            "/api/2.0/mlflow-artifacts/parts/{}/{part_number}",
            upload.id
        );
        let url = signed::address(&call, &headers, "PUT", &path, upload.expires_at);
        credentials.push(Credential {
            url: url.await?,
            part_number,
            headers: BTreeMap::new(),
        });
    }
    answer(&Begun {
        upload_id: upload.id,
        credentials,
    })
}

/// Clients name the file by its path on their own disk, of whichever system.
fn name_of(fields: &Fields) -> Result<String, Failure> {
    let path = fields.required("path")?;
    let name = path.rsplit(['/', '\\']).next().unwrap_or_default();
    if name.is_empty() || name == "." || name == ".." {
        return Err(Failure::invalid("Invalid path"));
    }
    Ok(name.to_owned())
}

/// Takes a part at the address that was given for it.
pub async fn put(place: Place, body: Body) -> Answer {
    let part = |name: &str| place.path.get(name).map_or("", String::as_str);
    let number = part("number").parse().unwrap_or_default();
    let stored = place
        .service
        .write_part(
            &place.caller,
            &place.workspace,
            part("upload"),
            number,
            body.into_data_stream(),
        )
        .await?;
    let tag = HeaderValue::from_str(&format!("\"{}\"", stored.hash));
    let mut response = ().into_response();
    if let Ok(tag) = tag {
        response.headers_mut().insert(ETAG, tag);
    }
    Ok(response)
}

pub async fn complete(call: Call) -> Answer {
    let mut named: BTreeMap<i64, Option<Hash>> = BTreeMap::new();
    for (index, part) in call.fields.objects("parts")?.iter().enumerate() {
        let number = part.integer("part_number")?;
        let number = number.ok_or_else(|| missing(&format!("parts[{index}].part_number")))?;
        let tag = part.some_text("etag")?;
        let hash = tag
            .map(|tag| Hash::parse(tag.trim_matches('"')))
            .transpose()
            .map_err(|_| {
                Failure::invalid(format!("Part {number} has an ETag that is none of ours"))
            })?;
        if named.insert(number, hash).is_some() {
            return Err(Failure::invalid(format!("Part {number} is named twice")));
        }
    }
    if let Some((number, _)) = (1..).zip(&named).find(|(n, (number, _))| n != *number) {
        return Err(Failure::invalid(format!("Part {number} is not named")));
    }
    let complete = CompleteUpload {
        workspace: call.workspace.clone(),
        upload: call.fields.required("upload_id")?,
        hashes: named.into_values().collect(),
    };
    call.perform(complete).await?;
    done()
}

pub async fn abort(call: Call) -> Answer {
    let abort = AbortUpload {
        workspace: call.workspace.clone(),
        upload: call.fields.required("upload_id")?,
    };
    call.perform(abort).await?;
    done()
}
