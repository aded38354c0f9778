//! An upload: a signed form for the storage, and the post of a file with it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{CONTENT_TYPE, ETAG, LOCATION, SERVER};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};
use jiff::{SignedDuration, Timestamp};
use md5::{Digest, Md5};
use mime_guess::mime::{self, Mime};
use percent_encoding::utf8_percent_encode;
use uuid::Uuid;

use super::error::Rejection;
use super::grants::Right;
use super::name::sanitised;
use super::objects::{ObjectKey, StoredObject};
use super::policy::{self, Policy, value};
use super::route::{ChannelOf, STORAGE};
use super::storage_error::{StorageError, host_id, request_id};
use super::storage_keys::{ALGORITHM, StorageKeys, UNRESERVED, compact, parse_compact, seconds, whole_seconds};
use super::wire::{FileInfo, FormField, UploadRequest, UploadUrl, Wanted, json};
use super::{Call, PubNub};
use crate::blobs::Blob;
use crate::faults::{ContentTamper, Fault};
use crate::hex::hex;
use crate::http::{RequestBody, Response, empty};
use crate::multipart::{Multipart, MultipartError};

/// How long a form can be posted.
const FORM_LIFE: SignedDuration = SignedDuration::from_secs(60);
/// The longest request for a form, and the most that the fields of one may hold.
const LONGEST_TEXT: usize = 20 * 1024;
/// What the storage assumes of a file that nothing is known about.
const UNKNOWN_TYPE: &str = "binary/octet-stream";

impl PubNub {
    pub(super) async fn generate_upload_url(
        &self,
        of: &ChannelOf,
        call: &Call<'_>,
        body: &mut RequestBody,
    ) -> Result<Response, Rejection> {
        let body = body.collect(LONGEST_TEXT).await.map_err(|_| bad_body())?.ok_or_else(bad_body)?;
        let keyset = self.admit_to_files(of, Right::Write, call, &body).await?;
        check_json(&call.head.headers)?;
        let wanted: Wanted = serde_json::from_slice(&body).map_err(|_| bad_body())?;
        let name = sanitised(&wanted.name).ok_or_else(|| Rejection::files("Invalid file name"))?;

        let id = Uuid::new_v4().to_string();
        let key = ObjectKey::new(&of.subscribe_key, &of.channel, &id, &name);
        let end = whole_seconds(call.now) + FORM_LIFE;
        let fields = form(&self.storage_keys, &key, &name, keyset.file_retention_days, keyset.max_file_bytes, end);
        let answer = UploadUrl {
            status: 200,
            data: FileInfo { id: &id, name: &name },
            file_upload_request: UploadRequest {
                url: &format!("{}{STORAGE}", self.base),
                method: "POST",
                expiration_date: &seconds(end),
                form_fields: &fields,
            },
        };
        Ok(json(StatusCode::OK, &answer))
    }

    /// The file is there, and in lists, when this answers.
    pub(super) async fn post_form(&self, call: &Call<'_>, body: &mut RequestBody) -> Result<Response, Rejection> {
        let boundary = boundary(call.head)?;
        let length = body.length().ok_or_else(StorageError::no_length)?;
        let mut parts = Multipart::new(body, &boundary);
        let fields = read_fields(&mut parts).await?;
        let expired = call.effects.any(|fault| matches!(fault, Fault::ExpiredUrl));
        let now = if expired { Timestamp::MAX } else { call.now };
        let sizes = check_form(&self.storage_keys, &fields, now)?;

        let tamper = ContentTamper::new(call.effects, Some(length));
        let (body, md5) = self.read_file(&mut parts, tamper, *sizes.end()).await?;
        if body.size() < *sizes.start() {
            return Err(StorageError::too_small(body.size(), *sizes.start()).into());
        }
        no_second_file(&mut parts).await?;

        let object = StoredObject {
            key: ObjectKey::given(value(&fields, "key").unwrap_or_default()),
            size: body.size(),
            content_type: value(&fields, "Content-Type").unwrap_or(UNKNOWN_TYPE).to_owned(),
            md5: hex(&md5),
            created: call.now,
            retention_days: retention_of(value(&fields, "tagging").unwrap_or_default()),
            body: body.keep(),
        };
        let mut response = posted(&object, &self.base);
        if call.effects.any(|fault| matches!(fault, Fault::WrongEtag)) {
            response.headers_mut().insert(ETAG, wrong_etag());
        }
        self.store.run(move |state| Ok(state.objects.put(object)?)).await?;
        Ok(response)
    }

    /// The content of the part that the form is at, as it is stored.
    async fn read_file(
        &self,
        parts: &mut Multipart<'_>,
        mut tamper: ContentTamper,
        largest: u64,
    ) -> Result<(Blob, Vec<u8>), Rejection> {
        let mut digest = Md5::new();
        let mut writer = self.store.blobs().writer();
        let mut sent = 0;
        while let Some(chunk) = parts.chunk().await.map_err(malformed)? {
            sent += chunk.len() as u64;
            // Read to the end all the same: the rejection tells the size.
            if sent <= largest {
                let chunk = tamper.pass(chunk);
                digest.update(&chunk);
                writer.write(&chunk).await?;
            }
        }
        if sent > largest {
            return Err(StorageError::too_large(sent, largest).into());
        }
        Ok((writer.finish().await?, digest.finalize().to_vec()))
    }
}

/// The fields in the order in which the service was seen to send them.
fn form(
    keys: &StorageKeys,
    key: &ObjectKey,
    name: &str,
    retention_days: u32,
    max_size: u64,
    end: Timestamp,
) -> Vec<FormField> {
    let (tagging, media_type) = (tagging(retention_days), media_type(name));
    // The instant of the end, not now.
    let (credential, date) = (StorageKeys::credential(end), compact(end));
    let fields = [
        ("tagging", tagging.as_str()),
        ("key", key.as_str()),
        ("Content-Type", &media_type),
        ("X-Amz-Credential", &credential),
        ("X-Amz-Security-Token", ""),
        ("X-Amz-Algorithm", ALGORITHM),
        ("X-Amz-Date", &date),
    ];
    let policy = STANDARD.encode(policy::write(end, max_size, &fields));
    let signature = keys.sign(end, &policy);
    let signed = [("Policy", policy.as_str()), ("X-Amz-Signature", &signature)];
    let fields = fields.into_iter().chain(signed);
    fields.map(|(key, value)| FormField { key, value: value.to_owned() }).collect()
}

/// Whether the form is one of ours and still good, and how large its file may be.
fn check_form(
    keys: &StorageKeys,
    fields: &[(String, String)],
    now: Timestamp,
) -> Result<std::ops::RangeInclusive<u64>, StorageError> {
    let field = |name: &str| {
        value(fields, name).ok_or_else(|| {
            StorageError::argument(format!(
                "Bucket POST must contain a field named '{name}'.  If it is specified, please check the order of the fields."
            ))
        })
    };
    field("key")?;
    let (policy, signature) = (field("policy")?, field("x-amz-signature")?);
    if field("x-amz-algorithm")? != ALGORITHM {
        return Err(StorageError::algorithm());
    }
    let date = parse_compact(field("x-amz-date")?).ok_or_else(|| StorageError::argument("Invalid x-amz-date"))?;
    if field("x-amz-credential")? != StorageKeys::credential(date) || !keys.is_signed(date, policy, signature) {
        return Err(StorageError::signature());
    }
    let policy = STANDARD.decode(policy).ok().and_then(|text| Policy::parse(&text));
    policy.ok_or_else(StorageError::signature)?.check(fields, now)
}

/// The fields before the file, where all of them have to be.
async fn read_fields(parts: &mut Multipart<'_>) -> Result<Vec<(String, String)>, Rejection> {
    let mut fields: Vec<(String, String)> = Vec::new();
    let mut left = LONGEST_TEXT;
    while let Some(head) = parts.next_part().await.map_err(malformed)? {
        let name = head.name.ok_or_else(StorageError::malformed)?;
        if name == "file" {
            return Ok(fields);
        }
        let mut text = Vec::new();
        while let Some(chunk) = parts.chunk().await.map_err(malformed)? {
            left = left.checked_sub(chunk.len()).ok_or_else(StorageError::fields_too_large)?;
            text.extend_from_slice(&chunk);
        }
        left = left.checked_sub(name.len()).ok_or_else(StorageError::fields_too_large)?;
        if value(&fields, &name).is_some() {
            return Err(StorageError::argument(format!("The field '{name}' was given twice.")).into());
        }
        fields.push((name, String::from_utf8(text).map_err(|_| StorageError::malformed())?));
    }
    Err(StorageError::number_of_files().into())
}

/// Other parts behind the file are ignored.
async fn no_second_file(parts: &mut Multipart<'_>) -> Result<(), Rejection> {
    while let Some(head) = parts.next_part().await.map_err(malformed)? {
        if head.name.as_deref() == Some("file") {
            return Err(StorageError::number_of_files().into());
        }
    }
    Ok(())
}

fn boundary(head: &Parts) -> Result<String, StorageError> {
    // An empty query is none: one client ends the URL with a question mark.
    if head.uri.query().is_some_and(|query| !query.is_empty()) {
        return Err(StorageError::argument("Query String Parameters not allowed on POST requests."));
    }
    let media_type = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()?.parse::<Mime>().ok());
    match media_type {
        Some(media_type) if media_type.essence_str() == "multipart/form-data" => {
            let boundary = media_type.get_param("boundary").map(|boundary| boundary.as_str().to_owned());
            boundary.filter(|boundary| !boundary.is_empty()).ok_or_else(StorageError::malformed)
        }
        Some(media_type) if media_type == mime::APPLICATION_WWW_FORM_URLENCODED => Err(StorageError::algorithm()),
        _ => Err(StorageError::malformed()),
    }
}

fn malformed(error: MultipartError) -> Rejection {
    match error {
        MultipartError::Malformed(_) => StorageError::malformed().into(),
        // An upload that was broken off cannot hear any answer.
        MultipartError::Io(_) => StorageError::argument("The body was broken off.").into(),
    }
}

fn posted(object: &StoredObject, base: &str) -> Response {
    let mut response = empty(StatusCode::NO_CONTENT);
    let location = format!("{base}{STORAGE}{}", utf8_percent_encode(object.key.as_str(), UNRESERVED));
    let headers = response.headers_mut();
    describe(object, headers);
    for (name, value) in [("x-amz-id-2", host_id()), ("x-amz-request-id", request_id()), (LOCATION.as_str(), location)]
    {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name_of(name), value);
        }
    }
    response
}

/// What the storage says of an object in every answer.
pub(super) fn describe(object: &StoredObject, headers: &mut HeaderMap) {
    let etag = HeaderValue::try_from(format!("\"{}\"", object.md5));
    headers.insert(ETAG, etag.unwrap_or(HeaderValue::from_static("\"\"")));
    headers.insert("x-amz-server-side-encryption", HeaderValue::from_static("AES256"));
    headers.insert(SERVER, HeaderValue::from_static("AmazonS3"));
    if let Some(end) = object.expires() {
        let days = object.retention_days;
        let (end, plural) = (http_date(end), if days == 1 { "" } else { "s" });
        let text = format!("expiry-date=\"{end}\", rule-id=\"Archive file {days} day{plural} after creation\"");
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.insert("x-amz-expiration", value);
        }
    }
}

/// What a fault says in the place of the digest.
pub(super) fn wrong_etag() -> HeaderValue {
    HeaderValue::from_static("\"00000000000000000000000000000000\"")
}

/// `Sat, 04 Jan 2025 00:00:00 GMT`.
pub(super) fn http_date(time: Timestamp) -> String {
    httpdate::fmt_http_date(time.into())
}

fn name_of(name: &'static str) -> http::HeaderName {
    http::HeaderName::from_static(name)
}

fn check_json(headers: &HeaderMap) -> Result<(), Rejection> {
    let given = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if given.parse::<Mime>().is_ok_and(|media_type| media_type.essence_str() == "application/json") {
        return Ok(());
    }
    let message = "Content-Type must be application/json".into();
    Err(Rejection::Files { status: StatusCode::UNSUPPORTED_MEDIA_TYPE, code: 3001, message })
}

fn bad_body() -> Rejection {
    Rejection::files("Invalid request body: a JSON object with the file's name is expected")
}

/// A guess from the extension.
fn media_type(name: &str) -> String {
    match mime_guess::from_path(name).first() {
        Some(text) if text.type_() == mime::TEXT => format!("{text}; charset=utf-8"),
        Some(other) => other.to_string(),
        None => UNKNOWN_TYPE.to_owned(),
    }
}

/// How the storage is told when to remove a file.
fn tagging(retention_days: u32) -> String {
    let tag = match retention_days {
        0 => String::new(),
        days => format!("<Tag><Key>ObjectTTLInDays</Key><Value>{days}</Value></Tag>"),
    };
    format!("<Tagging><TagSet>{tag}</TagSet></Tagging>")
}

/// Reads what [`tagging`] wrote: the policy lets nothing else pass.
fn retention_of(tagging: &str) -> u32 {
    let (_, rest) = tagging.split_once("<Value>").unwrap_or_default();
    rest.split('<').next().and_then(|days| days.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_type_is_guessed_as_the_service_guesses_it() {
        assert_eq!(media_type("a.txt"), "text/plain; charset=utf-8");
        assert_eq!(media_type("a.png"), "image/png");
        assert_eq!(media_type("a"), "binary/octet-stream");
        assert_eq!(media_type("a.unknown-extension"), "binary/octet-stream");
    }

    #[test]
    fn the_retention_travels_in_the_tagging() {
        assert_eq!(
            tagging(1),
            "<Tagging><TagSet><Tag><Key>ObjectTTLInDays</Key><Value>1</Value></Tag></TagSet></Tagging>"
        );
        for days in [0, 1, 30] {
            assert_eq!(retention_of(&tagging(days)), days);
        }
    }
}
