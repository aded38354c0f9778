//! Uploads: request a form, post the file with it, publish a message.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use filestore_core::{
    AssignedCallback, ByteStream, DigestAlgorithm, Effect, Error, ErrorKind, Expiry, Feature, FileStore, Result,
    StoredFile, Upload, hex,
};
use filestore_http::{
    Attempts, Form, HeaderValue, Idempotency, Method, OBJECT_LIMIT, Request, Response, is_md5, presigned_url,
};
use futures::TryStreamExt;
use md5::{Digest, Md5};
use secrecy::SecretString;

use crate::error::{Responder, rejected};
use crate::file_key::FileKey;
use crate::message::Published;
use crate::source::Source;
use crate::{PubNubSend, PubNubStore, wire};

/// The fields of a form that authorize the upload.
const SIGNATURE_FIELDS: [&str; 3] = ["Signature", "X-Amz-Signature", "X-Amz-Security-Token"];

const OCTETS: &str = "application/octet-stream";

/// A placeholder with the length of the service's ids, to check the URL of the message before the upload.
const PLACEHOLDER_ID: &str = "00000000-0000-4000-8000-000000000000";

/// A stored file, and the published message that names it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SentFile {
    /// The stored file.
    pub file: StoredFile,
    /// The published message; `None` if the upload said not to [publish](PubNubSend::publish) it.
    pub published: Option<Published>,
}

/// The data of an upload before the service assigns an id to the file.
struct PendingUpload {
    channel: String,
    name: String,
    content_type: Option<String>,
    encrypted: bool,
    source: Source,
    send: PubNubSend,
    on_assigned: AssignedCallback,
}

impl PubNubStore {
    /// Uploads a file like [`upload`](filestore_core::FileStore::upload), and also returns the published message.
    ///
    /// The file is stored first; then a message that names it is published. If only the message fails, the
    /// error is *incomplete* with the effect *applied* and [`stored`](Error::stored). Complete the upload with
    /// [`publish_file_message`](Self::publish_file_message), from any process: it needs only the reference.
    ///
    /// Errors:
    ///
    /// - *Too large*, with the maximum size, before the file is sent.
    /// - *Unsupported* for a feature that the service lacks, such as an expiry.
    /// - *Invalid input* for an invalid name or channel, and for a message whose URL has more than 32 KiB.
    /// - *Integrity*, with [`stored`](Error::stored), if the stored bytes differ from those that were sent.
    ///
    /// If the effect is *unknown*, the file may be stored, and no message names it.
    pub async fn send_file(&self, upload: Upload) -> Result<SentFile> {
        // 1. Reject invalid input before any request.
        upload.check(self.capabilities())?;
        let send = upload.options.get::<PubNubSend>().unwrap_or_default();
        send.check()?;
        let on_assigned = upload.assigned_callback();
        let channel = self.channel(upload.scope)?;
        let cipher = self.cipher_for(&send)?;
        check_content_type(upload.content_type.as_deref(), cipher.is_some())?;
        let key = FileKey { channel, id: PLACEHOLDER_ID.to_owned(), name: upload.name };
        if key.name.bytes().all(|byte| byte == b'.') {
            return Err(Error::invalid("the name consists only of dots, which PubNub cannot store; choose another"));
        }
        self.publish_call(&key, &send)?;
        // 2. Open and measure the source and prepare its encryption: the form of the next step is valid for 60 s.
        let encrypted = cipher.is_some();
        let source = Source::prepare(upload.body, self.limit(cipher)).await?;
        // 3. Store the file.
        let FileKey { channel, name, .. } = key;
        let content_type = upload.content_type;
        let pending = PendingUpload { channel, name, content_type, encrypted, source, send, on_assigned };
        let (key, file) = self.store_file(&pending).await?;
        // 4. Publish the message.
        if pending.send.publish == Some(false) {
            return Ok(SentFile { file, published: None });
        }
        match self.publish(&key, &pending.send).await {
            Ok(published) => Ok(SentFile { file, published: Some(published) }),
            Err(error) => Err(not_published(error, file)),
        }
    }

    /// Stores the file. An expired form is replaced, which counts as one of the attempts.
    async fn store_file(&self, pending: &PendingUpload) -> Result<(FileKey, StoredFile)> {
        let mut attempts = Attempts::new();
        loop {
            // 1. Request a form. The name in the response replaces the requested one.
            let response = self.generate_upload_url(&pending.channel, &pending.name).await?;
            let wire::FileId { id, name } = response.data;
            let key = FileKey::new(&pending.channel, id, name).ok_or_else(|| {
                let message = "the service returned an id or a name that cannot be used in a URL; check base_url";
                Error::new(ErrorKind::Protocol, Effect::Rejected, message)
            })?;
            // 2. Check the size against the policy, and the message again: id and name may have made it too long.
            self.check_policy(&response.file_upload_request, &pending.source)?;
            self.publish_call(&key, &pending.send)?;
            pending.on_assigned.call(key.reference()).await?;
            // 3. Post the file. Posting the same form twice stores one file.
            let has_content_type = pending.content_type.is_some() && !pending.encrypted;
            let (request, content_type) = self.form_post(&response.file_upload_request, pending, &key)?;
            let is_ignored = has_content_type && content_type.is_none();
            let skipped = is_ignored.then_some("content_type");
            let (error, is_expired) = match self.http().send_within(request, &mut attempts).await {
                Ok(response) if response.status().is_success() => {
                    // The storage sends the MD5 of the stored bytes with a 204 response.
                    if let Some(stored_md5) = etag(&response).filter(|_| response.status().as_u16() == 204) {
                        let mut file = file_of_response(&response, &stored_md5, &key, pending, content_type)?;
                        file.skipped.extend(skipped);
                        return Ok((key, file));
                    }
                    (response.unexpected("status 204 with the MD5 of the stored file as its ETag"), false)
                }
                Ok(response) => {
                    let (error, body) = rejected(response, Responder::Storage).await;
                    (error, body.is_expired())
                }
                Err(error) => (error, false),
            };
            // 4. The file may be stored in spite of the error. A check that finds nothing proves that it is not stored
            //    only if every attempt got a response.
            let effect = match attempts.history().effect() {
                Effect::Unknown => match self.find(&key, pending).await {
                    Ok(Some(mut file)) => {
                        file.skipped.extend(skipped);
                        return Ok((key, file));
                    }
                    Ok(None) => attempts.record_nothing_found(),
                    Err(_) => Effect::Unknown,
                },
                // The request for the form was sent.
                Effect::NotSent => Effect::Rejected,
                effect => effect,
            };
            if effect == Effect::Unknown {
                return Err(possibly_stored(error, &key));
            }
            // 5. Replace a form that has expired.
            let should_retry = is_expired && pending.source.body.can_replay();
            if !(should_retry && self.http().retry_step(&mut attempts).await) {
                return Err(error.with_effect(effect));
            }
        }
    }

    async fn generate_upload_url(&self, channel: &str, name: &str) -> Result<wire::GenerateUploadUrlResponse> {
        let body = serde_json::to_string(&wire::GenerateUploadUrlRequest { name })
            .map_err(|error| Error::invalid(format!("cannot write the name as JSON: {error}")))?;
        // Safe to retry: an id without a file changes nothing and is in no listing.
        let call = self.keyset().files(Method::POST, Idempotency::Safe, channel, &["generate-upload-url"]).body(body);
        self.json(&call, OBJECT_LIMIT).await.map(|(generated, _)| generated)
    }

    /// Checks the size against the policy of the form, and records its limit. *Too large* if it is exceeded.
    fn check_policy(&self, upload: &wire::UploadRequest, source: &Source) -> Result<()> {
        let policy = upload.form_fields.iter().find(|field| field.key == "Policy");
        let json = policy.and_then(|field| STANDARD.decode(&field.value).ok());
        let max_size = json.and_then(|json| serde_json::from_slice::<wire::Policy>(&json).ok()?.max_size());
        let Some(max_size) = max_size else { return Ok(()) };
        self.set_policy_limit(max_size);
        if source.stored_size <= max_size {
            return Ok(());
        }
        let size = source.stored_size;
        let message = format!("{size} stored bytes exceed the {max_size} bytes that the policy of the keyset allows");
        Err(Error::new(ErrorKind::TooLarge, Effect::Rejected, message))
    }

    /// Returns the request that posts the form with the file, and the content type that the form sets.
    fn form_post(
        &self,
        upload: &wire::UploadRequest,
        pending: &PendingUpload,
        key: &FileKey,
    ) -> Result<(Request, Option<String>)> {
        let url = presigned_url(&upload.url, self.keyset().base())?;
        // The service guesses the type from the extension. The caller's type replaces it, or for ciphertext, a
        // binary type.
        let replacement = if pending.encrypted { Some(OCTETS) } else { pending.content_type.as_deref() };
        let mut content_type = None;
        let mut secrets = self.keyset().secrets().to_vec();
        let mut form = Form::new();
        // The fields keep their order, and the file is last: the storage ignores fields after the file.
        for wire::FormField { key, value } in &upload.form_fields {
            let is_type = key.eq_ignore_ascii_case("content-type");
            let value = replacement.filter(|_| is_type).unwrap_or(value);
            if is_type {
                content_type = Some(value.to_owned());
            }
            if SIGNATURE_FIELDS.iter().any(|name| key.eq_ignore_ascii_case(name)) {
                secrets.push(SecretString::from(value));
            }
            form = form.field(key, value);
        }
        let form = form.file("file", &key.name, Some(OCTETS), Arc::clone(&pending.source.body));
        let request =
            Request::new(Method::POST, url, Idempotency::Idempotent).secret_path().secrets(secrets.into()).body(form);
        Ok((request, content_type))
    }

    /// Returns the file if it is stored with the bytes that were sent, `None` if nothing is stored. Reads one byte, or
    /// the whole file if the `ETag` of the storage is not its MD5.
    async fn find(&self, key: &FileKey, pending: &PendingUpload) -> Result<Option<StoredFile>> {
        let response = match self.open_stored(key, Some((0, Some(1)))).await {
            Ok(response) => response,
            // Only the storage's own code proves that there is no file; any other 404 may come from a proxy.
            Err(error) if error.provider_code() == Some("NoSuchKey") => return Ok(None),
            // An empty file has no first byte, so the storage says that the range is not satisfiable.
            Err(error) if error.provider_code() == Some("InvalidRange") && pending.source.stored_size == 0 => {
                return Ok(Some(stored_file(key, pending)));
            }
            Err(error) => return Err(error),
        };
        let stored_md5 = match etag(&response) {
            Some(md5) => md5,
            None => self.read_md5(key, pending.source.stored_size).await?,
        };
        if pending.source.md5() == Some(stored_md5) {
            return Ok(Some(stored_file(key, pending)));
        }
        Err(response.error(ErrorKind::Integrity, "the stored bytes differ from those that were sent"))
    }

    /// Reads the `size` stored bytes and returns their MD5 in lowercase hexadecimal.
    async fn read_md5(&self, key: &FileKey, size: u64) -> Result<String> {
        let response = self.open_stored(key, None).await?;
        let mut stored = ByteStream::download(self.resumable(response, key), Some(size));
        let mut digest = Md5::new();
        while let Some(chunk) = stored.try_next().await? {
            digest.update(&chunk);
        }
        Ok(hex(&digest.finalize()))
    }
}

/// Checks the content type. *Invalid input* if it cannot be a header value, *unsupported* with encryption.
fn check_content_type(content_type: Option<&str>, encrypted: bool) -> Result<()> {
    let Some(content_type) = content_type else { return Ok(()) };
    if encrypted {
        return Err(Error::unsupported(format!(
            "{} is not supported with a cipher key, because the stored bytes are ciphertext; omit it",
            Feature::ContentType
        )));
    }
    HeaderValue::try_from(content_type)
        .map(drop)
        .map_err(|_| Error::invalid("the content type cannot be a header value; choose another"))
}

/// Returns the file that the storage confirms. *Integrity* if `stored_md5` is not the MD5 of the bytes sent.
fn file_of_response(
    response: &Response,
    stored_md5: &str,
    key: &FileKey,
    pending: &PendingUpload,
    content_type: Option<String>,
) -> Result<StoredFile> {
    let mut file = stored_file(key, pending);
    file.expiry = expiry(response);
    if !pending.encrypted {
        file.content_type = content_type;
    }
    if pending.source.md5().as_deref() == Some(stored_md5) {
        return Ok(file);
    }
    let message = "the stored bytes differ from those that were sent, and no message names the file; delete it and \
                   upload it again";
    Err(Error::new(ErrorKind::Integrity, Effect::Applied, message).with_stored(file))
}

fn stored_file(key: &FileKey, pending: &PendingUpload) -> StoredFile {
    let source = &pending.source;
    let mut file = key.stored_file();
    file.size = Some(source.size);
    file.stored_size = Some(source.stored_size);
    if !pending.encrypted {
        file.digests = source.md5().iter().map(|md5| filestore_core::Digest::new(DigestAlgorithm::Md5, md5)).collect();
    }
    file
}

/// Returns the MD5 of the stored bytes if the `ETag` is one, in lowercase.
pub(crate) fn etag(response: &Response) -> Option<String> {
    response.strong_etag().and(response.opaque_tag()).filter(|tag| is_md5(tag)).map(str::to_ascii_lowercase)
}

/// Returns the time at which the storage deletes the file.
pub(crate) fn expiry(response: &Response) -> Expiry {
    let date = response.header("x-amz-expiration").and_then(|text| {
        let (_, rest) = text.split_once("expiry-date=\"")?;
        jiff::fmt::rfc2822::parse(rest.split_once('"')?.0).ok()
    });
    date.map_or(Expiry::Default, |date| Expiry::At(date.timestamp()))
}

fn possibly_stored(error: Error, key: &FileKey) -> Error {
    error.with_effect(Effect::Unknown).with_note("no message names the file").with_possibly_stored(key.reference())
}

/// Returns the *incomplete* error of a stored file whose message failed, with the details of `cause`.
fn not_published(cause: Error, file: StoredFile) -> Error {
    let uncertainty = if cause.effect() == Effect::Unknown { "may not have been" } else { "was not" };
    let message = format!(
        "the file is stored, but the message that names it {uncertainty} published: {}; publish it with \
         `filestore pubnub publish REF` and the same options (-O), or publish_file_message",
        cause.message()
    );
    let mut error =
        Error::new(ErrorKind::Incomplete, Effect::Applied, message).with_attempts(cause.attempts()).with_stored(file);
    if let Some(status) = cause.http_status() {
        error = error.with_http_status(status);
    }
    if let Some(code) = cause.provider_code() {
        error = error.with_provider_code(code);
    }
    if let Some(id) = cause.request_id() {
        error = error.with_request_id(id);
    }
    if let Some(delay) = cause.retry_after() {
        error = error.with_retry_after(delay);
    }
    error.with_source(cause)
}
