//! Uploads: a signed form for the storage, and the request that posts a file with it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{CONTENT_TYPE, ETAG, LOCATION, SERVER};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use jiff::{SignedDuration, Timestamp};
use md5::{Digest, Md5};
use mime_guess::mime::{self, Mime};
use percent_encoding::utf8_percent_encode;
use uuid::Uuid;

use super::error::Rejection;
use super::grants::Right;
use super::name::sanitize;
use super::objects::{ObjectKey, StoredObject};
use super::policy::{self, Policy, field_value};
use super::route::{KeysetChannel, STORAGE};
use super::storage_error::{StorageError, host_id, request_id};
use super::storage_keys::{ALGORITHM, StorageKeys, UNRESERVED, amz_date, iso_8601, parse_amz_date, whole_seconds};
use super::wire::{FileInfo, FormField, UploadRequest, UploadUrl, UploadUrlRequest, json};
use super::{Call, PubNub};
use crate::blobs::Blob;
use crate::faults::{ContentTamper, Fault};
use crate::hex::hex;
use crate::http::{RequestBody, Response, empty};
use crate::multipart::{Multipart, MultipartError};

/// The lifetime of a form.
const FORM_LIFETIME: SignedDuration = SignedDuration::from_secs(60);
/// The maximum size of a request for a form, and of all fields of a posted form, in bytes.
const MAX_TEXT: usize = 20 * 1024;
/// The content type of a file with an unknown extension, or without a `Content-Type` field.
const DEFAULT_TYPE: &str = "binary/octet-stream";

impl PubNub {
    pub(super) async fn generate_upload_url(
        &self,
        channel: &KeysetChannel,
        call: &Call<'_>,
        body: &mut RequestBody,
    ) -> Result<Response, Rejection> {
        let body = body.collect(MAX_TEXT).await.map_err(|_| invalid_body())?.ok_or_else(invalid_body)?;
        let keyset = self.authorize_files(channel, Right::Write, call, &body).await?;
        check_json(&call.head.headers)?;
        let request: UploadUrlRequest = serde_json::from_slice(&body).map_err(|_| invalid_body())?;
        let name = sanitize(&request.name).ok_or_else(|| Rejection::files("Invalid file name"))?;

        let id = Uuid::new_v4().to_string();
        let key = ObjectKey::new(&channel.subscribe_key, &channel.name, &id, &name);
        let expiration = whole_seconds(call.now) + FORM_LIFETIME;
        let fields =
            form_fields(&self.storage_keys, &key, &name, keyset.file_retention_days, keyset.max_file_bytes, expiration);
        let upload_url = UploadUrl {
            status: 200,
            data: FileInfo { id: &id, name: &name },
            file_upload_request: UploadRequest {
                url: &format!("{}{STORAGE}", self.base),
                method: "POST",
                expiration_date: &iso_8601(expiration),
                form_fields: &fields,
            },
        };
        Ok(json(StatusCode::OK, &upload_url))
    }

    /// Stores the file of a posted form. The file can be downloaded and is listed before the response is sent.
    pub(super) async fn post_form(&self, call: &Call<'_>, body: &mut RequestBody) -> Result<Response, Rejection> {
        let boundary = boundary(call.head)?;
        let length = body.length().ok_or_else(StorageError::no_length)?;
        let mut parts = Multipart::new(body, &boundary).map_err(malformed)?;
        let fields = read_fields(&mut parts).await?;
        let expired = call.effects.any(|fault| matches!(fault, Fault::ExpiredUrl));
        let now = if expired { Timestamp::MAX } else { call.now };
        let sizes = check_form(&self.storage_keys, &fields, now)?;

        let tamper = ContentTamper::new(call.effects, Some(length));
        let (body, md5) = self.read_file(&mut parts, tamper, *sizes.end()).await?;
        if body.size() < *sizes.start() {
            return Err(StorageError::too_small(body.size(), *sizes.start()).into());
        }
        reject_second_file(&mut parts).await?;

        let object = StoredObject {
            key: ObjectKey::from_text(field_value(&fields, "key").unwrap_or_default()),
            size: body.size(),
            content_type: field_value(&fields, "Content-Type").unwrap_or(DEFAULT_TYPE).to_owned(),
            md5: hex(&md5),
            created: call.now,
            retention_days: parse_retention(field_value(&fields, "tagging").unwrap_or_default()),
            body: body.keep(),
        };
        let mut response = upload_response(&object, &self.base);
        if call.effects.any(|fault| matches!(fault, Fault::WrongEtag)) {
            response.headers_mut().insert(ETAG, wrong_etag());
        }
        self.store.run(move |state| Ok(state.objects.put(object)?)).await?;
        Ok(response)
    }

    /// Stores the content of the current form part. Returns the blob and its MD5.
    async fn read_file(
        &self,
        parts: &mut Multipart<'_>,
        mut tamper: ContentTamper,
        max_size: u64,
    ) -> Result<(Blob, Vec<u8>), Rejection> {
        let mut digest = Md5::new();
        let mut writer = self.store.blobs().writer();
        let mut received = 0;
        while let Some(chunk) = parts.chunk().await.map_err(malformed)? {
            received += chunk.len() as u64;
            // A file that is too large is read to its end, because the error shows its size.
            if received <= max_size {
                let chunk = tamper.pass(chunk);
                digest.update(&chunk);
                writer.write(&chunk).await?;
            }
        }
        if received > max_size {
            return Err(StorageError::too_large(received, max_size).into());
        }
        Ok((writer.finish().await?, digest.finalize().to_vec()))
    }
}

/// Returns the signed fields of a form, in the recorded order of the service.
fn form_fields(
    keys: &StorageKeys,
    key: &ObjectKey,
    name: &str,
    retention_days: u32,
    max_size: u64,
    expiration: Timestamp,
) -> Vec<FormField> {
    let (tagging, media_type) = (tagging(retention_days), media_type(name));
    // The service signs with the expiration time instead of the current time.
    let (credential, date) = (StorageKeys::credential(expiration), amz_date(expiration));
    let fields = [
        ("tagging", tagging.as_str()),
        ("key", key.as_str()),
        ("Content-Type", &media_type),
        ("X-Amz-Credential", &credential),
        ("X-Amz-Security-Token", ""),
        ("X-Amz-Algorithm", ALGORITHM),
        ("X-Amz-Date", &date),
    ];
    let policy = STANDARD.encode(policy::write(expiration, max_size, &fields));
    let signature = keys.sign(expiration, &policy);
    let signed = [("Policy", policy.as_str()), ("X-Amz-Signature", &signature)];
    let fields = fields.into_iter().chain(signed);
    fields.map(|(key, value)| FormField { key, value: value.to_owned() }).collect()
}

/// Checks that this emulator signed the form and that its policy accepts the fields. Returns the accepted file sizes,
/// in bytes.
fn check_form(
    keys: &StorageKeys,
    fields: &[(String, String)],
    now: Timestamp,
) -> Result<std::ops::RangeInclusive<u64>, StorageError> {
    let field = |name: &str| {
        field_value(fields, name).ok_or_else(|| {
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
    let date = parse_amz_date(field("x-amz-date")?).ok_or_else(|| StorageError::argument("Invalid x-amz-date"))?;
    if field("x-amz-credential")? != StorageKeys::credential(date) || !keys.verify(date, policy, signature) {
        return Err(StorageError::signature());
    }
    let policy = STANDARD.decode(policy).ok().and_then(|text| Policy::parse(&text));
    policy.ok_or_else(StorageError::signature)?.check(fields, now)
}

/// Reads the fields of a form up to the file, which must come last.
async fn read_fields(parts: &mut Multipart<'_>) -> Result<Vec<(String, String)>, Rejection> {
    let mut fields: Vec<(String, String)> = Vec::new();
    let mut remaining = MAX_TEXT;
    while let Some(head) = parts.next_part().await.map_err(malformed)? {
        let name = head.name.ok_or_else(StorageError::malformed)?;
        if name == "file" {
            return Ok(fields);
        }
        let mut text = Vec::new();
        while let Some(chunk) = parts.chunk().await.map_err(malformed)? {
            remaining = remaining.checked_sub(chunk.len()).ok_or_else(StorageError::fields_too_large)?;
            text.extend_from_slice(&chunk);
        }
        remaining = remaining.checked_sub(name.len()).ok_or_else(StorageError::fields_too_large)?;
        if field_value(&fields, &name).is_some() {
            return Err(StorageError::argument(format!("The field '{name}' was given twice.")).into());
        }
        fields.push((name, String::from_utf8(text).map_err(|_| StorageError::malformed())?));
    }
    Err(StorageError::number_of_files().into())
}

/// Rejects a second file. Other parts after the file are ignored.
async fn reject_second_file(parts: &mut Multipart<'_>) -> Result<(), Rejection> {
    while let Some(head) = parts.next_part().await.map_err(malformed)? {
        if head.name.as_deref() == Some("file") {
            return Err(StorageError::number_of_files().into());
        }
    }
    Ok(())
}

/// Returns the multipart boundary of a posted form.
fn boundary(head: &Parts) -> Result<String, StorageError> {
    // An empty query is accepted, because one client ends the URL with a question mark.
    if head.uri.query().is_some_and(|query| !query.is_empty()) {
        return Err(StorageError::argument("Query String Parameters not allowed on POST requests."));
    }
    let media_type = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()?.parse::<Mime>().ok());
    match media_type {
        Some(media_type) if media_type.essence_str() == "multipart/form-data" => {
            let boundary = media_type.get_param("boundary").map(|boundary| boundary.as_str().to_owned());
            boundary.ok_or_else(StorageError::malformed)
        }
        Some(media_type) if media_type == mime::APPLICATION_WWW_FORM_URLENCODED => Err(StorageError::algorithm()),
        _ => Err(StorageError::malformed()),
    }
}

fn malformed(error: MultipartError) -> Rejection {
    match error {
        MultipartError::Malformed(_) => StorageError::malformed().into(),
        // The connection failed, so the client does not receive this response.
        MultipartError::Io(_) => StorageError::argument("The request body ended early.").into(),
    }
}

fn upload_response(object: &StoredObject, base: &str) -> Response {
    let mut response = empty(StatusCode::NO_CONTENT);
    let location = format!("{base}{STORAGE}{}", utf8_percent_encode(object.key.as_str(), UNRESERVED));
    let headers = response.headers_mut();
    set_object_headers(object, headers);
    for (name, value) in [("x-amz-id-2", host_id()), ("x-amz-request-id", request_id()), (LOCATION.as_str(), location)]
    {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    response
}

/// Sets the headers of an object that responses to uploads and to downloads have.
pub(super) fn set_object_headers(object: &StoredObject, headers: &mut HeaderMap) {
    let etag = HeaderValue::try_from(format!("\"{}\"", object.md5));
    headers.insert(ETAG, etag.unwrap_or(HeaderValue::from_static("\"\"")));
    headers.insert("x-amz-server-side-encryption", HeaderValue::from_static("AES256"));
    headers.insert(SERVER, HeaderValue::from_static("AmazonS3"));
    if let Some(expires) = object.expires() {
        let days = object.retention_days;
        let (expires, plural) = (http_date(expires), if days == 1 { "" } else { "s" });
        let text = format!("expiry-date=\"{expires}\", rule-id=\"Archive file {days} day{plural} after creation\"");
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.insert("x-amz-expiration", value);
        }
    }
}

/// Returns the ETag that the `wrong-etag` fault sends.
pub(super) fn wrong_etag() -> HeaderValue {
    HeaderValue::from_static("\"00000000000000000000000000000000\"")
}

/// Formats a time as in HTTP headers: `Sat, 04 Jan 2025 00:00:00 GMT`.
pub(super) fn http_date(time: Timestamp) -> String {
    httpdate::fmt_http_date(time.into())
}

fn check_json(headers: &HeaderMap) -> Result<(), Rejection> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if content_type.parse::<Mime>().is_ok_and(|media_type| media_type.essence_str() == "application/json") {
        return Ok(());
    }
    let message = "Content-Type must be application/json".into();
    Err(Rejection::Files { status: StatusCode::UNSUPPORTED_MEDIA_TYPE, code: 3001, message })
}

fn invalid_body() -> Rejection {
    Rejection::files("Invalid request body: a JSON object with the file's name is expected")
}

/// Guesses the content type from the extension.
fn media_type(name: &str) -> String {
    match mime_guess::from_path(name).first() {
        Some(text) if text.type_() == mime::TEXT => format!("{text}; charset=utf-8"),
        Some(other) => other.to_string(),
        None => DEFAULT_TYPE.to_owned(),
    }
}

/// Returns the S3 object tags that tell the storage when to remove a file.
fn tagging(retention_days: u32) -> String {
    let tag = match retention_days {
        0 => String::new(),
        days => format!("<Tag><Key>ObjectTTLInDays</Key><Value>{days}</Value></Tag>"),
    };
    format!("<Tagging><TagSet>{tag}</TagSet></Tagging>")
}

/// Returns the days in the output of [`tagging`]. The policy allows no other text.
fn parse_retention(tagging: &str) -> u32 {
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
    fn the_tagging_holds_the_retention() {
        assert_eq!(
            tagging(1),
            "<Tagging><TagSet><Tag><Key>ObjectTTLInDays</Key><Value>1</Value></Tag></TagSet></Tagging>"
        );
        for days in [0, 1, 30] {
            assert_eq!(parse_retention(&tagging(days)), days);
        }
    }
}
