//! Uploads: a form, the file, a message.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use filestore_core::{
    Digest, DigestAlgorithm, Effect, Error, ErrorKind, Expiry, Feature, FileStore, Result, StoredFile, Upload,
};
use filestore_http::{
    Attempts, Form, HeaderValue, Idempotency, Method, OBJECT_LIMIT, Request, Response, is_md5, presigned_url,
};

use crate::error::{Responder, rejected};
use crate::file_key::FileKey;
use crate::message::Published;
use crate::source::Source;
use crate::{PubNubSend, PubNubStore, wire};

const OCTETS: &str = "application/octet-stream";

/// As long as the ids that the service gives.
const PLACEHOLDER_ID: &str = "00000000-0000-4000-8000-000000000000";

/// A file that is stored, and the message that announces it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SentFile {
    /// The file.
    pub file: StoredFile,
    /// The message.
    pub published: Published,
}

/// The file of an upload, with all that is known before it has an id.
struct PendingUpload {
    channel: String,
    name: String,
    content_type: Option<String>,
    encrypted: bool,
    source: Source,
    send: PubNubSend,
}

impl PubNubStore {
    /// [`upload`](filestore_core::FileStore::upload), and with it when the message was published.
    ///
    /// Stores the file, then publishes a message that names it. If only the message fails, the error is
    /// *incomplete* with the effect *applied* and [`stored`](Error::stored): finish it with
    /// [`publish_file_message`](Self::publish_file_message), from any process, with the reference alone.
    ///
    /// *Too large*, with the largest content, before anything is sent. *Unsupported* for what the service
    /// lacks, such as an expiry. *Invalid input* for a name or channel that cannot be one, and for a message that makes a URL of more than 32 KiB. *Integrity*, with
    /// [`stored`](Error::stored), if the storage has other bytes than were sent. With effect *unknown* the
    /// file may be stored; no message names it.
    pub async fn send_file(&self, upload: Upload) -> Result<SentFile> {
        // 1. What is certain to be rejected is not sent.
        upload.check(self.capabilities())?;
        let send = upload.options.get::<PubNubSend>().unwrap_or_default();
        send.check()?;
        let channel = self.channel(upload.scope)?;
        let cipher = self.cipher_of(&send)?;
        check_content_type(upload.content_type.as_deref(), cipher.is_some())?;
        let place = FileKey { channel, id: PLACEHOLDER_ID.to_owned(), name: upload.name };
        if place.name.bytes().all(|byte| byte == b'.') {
            return Err(Error::invalid("a name of nothing but dots cannot be kept; choose another"));
        }
        self.announcement(&place, &send)?;
        // 2. The form lives for 60 s: the source is open, its length known and its encryption ready before.
        let encrypted = cipher.is_some();
        let source = Source::prepare(upload.body, self.limit(cipher)).await?;
        // 3. The file.
        let FileKey { channel, name, .. } = place;
        let outgoing = PendingUpload { channel, name, content_type: upload.content_type, encrypted, source, send };
        let (place, file) = self.store_file(&outgoing).await?;
        // 4. The message.
        match self.publish(&place, &outgoing.send).await {
            Ok(published) => Ok(SentFile { file, published }),
            Err(error) => Err(not_announced(error, file)),
        }
    }

    /// Stores the file, with a fresh form where one ended, out of the same attempts.
    async fn store_file(&self, outgoing: &PendingUpload) -> Result<(FileKey, StoredFile)> {
        let mut attempts = Attempts::new();
        loop {
            // 1. A form. The name in it is the one that counts from now on.
            let generated = self.generate_upload_url(&outgoing.channel, &outgoing.name).await?;
            let wire::FileId { id, name } = generated.data;
            let place = FileKey { channel: outgoing.channel.clone(), id, name };
            FileKey::of(&place.reference()).map_err(|_| {
                let message = "the service gives the file an id or a name that it could not be found by";
                Error::new(ErrorKind::Protocol, Effect::Rejected, message)
            })?;
            // 2. What the form does not allow, and a message that became too long with them, is not sent.
            self.check_policy(&generated.file_upload_request, &outgoing.source)?;
            self.announcement(&place, &outgoing.send)?;
            // 3. The file. The same form again is the same file.
            let wants_type = outgoing.content_type.is_some() && !outgoing.encrypted;
            let (request, content_type) = self.form_post(&generated.file_upload_request, outgoing, &place)?;
            let (error, is_expired) = match self.http().send_within(request, &mut attempts).await {
                // A storage that has stored a file says which.
                Ok(answer) if answer.status().as_u16() == 204 && answer.header("etag").is_some() => {
                    let is_ignored = wants_type && content_type.is_none();
                    let mut file = stored(&answer, &place, outgoing, content_type)?;
                    file.skipped.extend(is_ignored.then_some("content_type"));
                    return Ok((place, file));
                }
                Ok(answer) if answer.status().is_success() => (answer.unexpected("an ETag of what is stored"), false),
                Ok(answer) => {
                    let (error, said) = rejected(answer, Responder::Storage, &self.secrets()).await;
                    (error, said.is_expired())
                }
                Err(error) => (error, false),
            };
            // 4. It may be stored all the same. Only after answered attempts does a look settle that it is not.
            let effect = match attempts.history().effect() {
                Effect::Unknown => match self.find(&place, outgoing).await {
                    Ok(Some(file)) => return Ok((place, file)),
                    Ok(None) => attempts.record_nothing_found(),
                    Err(_) => Effect::Unknown,
                },
                // The service was asked for the form.
                Effect::NotSent => Effect::Rejected,
                effect => effect,
            };
            if effect == Effect::Unknown {
                return Err(possibly_stored(error, &place));
            }
            // 5. A form that ended: another one.
            let again = is_expired && outgoing.source.body.can_replay();
            if !(again && self.http().retry_step(&mut attempts).await) {
                return Err(error.with_effect(effect));
            }
        }
    }

    async fn generate_upload_url(&self, channel: &str, name: &str) -> Result<wire::Generated> {
        let body = serde_json::to_string(&wire::Named { name })
            .map_err(|error| Error::invalid(format!("the name cannot be JSON: {error}")))?;
        // An id that nobody uses costs nothing and shows nowhere: nothing is changed by asking.
        let call = self.keyset().files(Method::POST, Idempotency::Safe, channel, &["generate-upload-url"]).body(body);
        self.json(&call, OBJECT_LIMIT).await.map(|(generated, _)| generated)
    }

    /// *Too large* if the policy of the form says so; the store remembers it.
    fn check_policy(&self, upload: &wire::UploadRequest, source: &Source) -> Result<()> {
        let policy = upload.form_fields.iter().find(|field| field.key == "Policy");
        let json = policy.and_then(|field| STANDARD.decode(&field.value).ok());
        let largest = json.and_then(|json| serde_json::from_slice::<wire::Policy>(&json).ok()?.largest());
        let Some(largest) = largest else { return Ok(()) };
        self.learn_limit(largest);
        if source.stored_size <= largest {
            return Ok(());
        }
        let size = source.stored_size;
        let message = format!("{size} stored bytes exceed the {largest} that the policy of the keyset allows");
        Err(Error::new(ErrorKind::TooLarge, Effect::Rejected, message))
    }

    /// The form with the file, and the content type that it gives to the file.
    fn form_post(
        &self,
        upload: &wire::UploadRequest,
        outgoing: &PendingUpload,
        place: &FileKey,
    ) -> Result<(Request, Option<String>)> {
        let url = presigned_url(&upload.url, self.keyset().base())?;
        // The service guesses the type by the extension. Ciphertext is of none.
        let own = if outgoing.encrypted { Some(OCTETS) } else { outgoing.content_type.as_deref() };
        let mut content_type = None;
        let mut form = Form::new();
        // In the order in which they came: the storage reads nothing after the file.
        for wire::FormField { key, value } in &upload.form_fields {
            let is_type = key.eq_ignore_ascii_case("content-type");
            let value = own.filter(|_| is_type).unwrap_or(value);
            if is_type {
                content_type = Some(value.to_owned());
            }
            form = form.field(key, value);
        }
        let form = form.file("file", &place.name, Some(OCTETS), Arc::clone(&outgoing.source.body));
        let request = Request::new(Method::POST, url, Idempotency::Idempotent).secret_path().body(form);
        Ok((request, content_type))
    }

    /// The file, if it is stored already as it was sent; `None` if nothing is. Reads one byte of it.
    async fn find(&self, place: &FileKey, outgoing: &PendingUpload) -> Result<Option<StoredFile>> {
        let answer = match self.open_stored(place, Some((0, Some(1)))).await {
            Ok(answer) => answer,
            // In the storage's own words: any other 404 says nothing about the file.
            Err(error) if error.provider_code() == Some("NoSuchKey") => return Ok(None),
            // An empty file has not even one byte.
            Err(error) if error.http_status() == Some(416) && outgoing.source.stored_size == 0 => {
                return Ok(Some(described(place, outgoing)));
            }
            Err(error) => return Err(error),
        };
        if etag(&answer).is_some_and(|there| outgoing.source.md5() == Some(there)) {
            return Ok(Some(described(place, outgoing)));
        }
        Err(answer.error(ErrorKind::Integrity, "what is stored there are other bytes than were sent"))
    }
}

/// *Invalid input* for a type that no header can hold, *unsupported* beside encryption.
fn check_content_type(content_type: Option<&str>, encrypted: bool) -> Result<()> {
    let Some(content_type) = content_type else { return Ok(()) };
    if encrypted {
        return Err(Error::unsupported(format!(
            "{} is not supported here: what is stored is ciphertext; leave it out",
            Feature::ContentType
        )));
    }
    HeaderValue::try_from(content_type)
        .map(drop)
        .map_err(|_| Error::invalid("the content type cannot be a header; choose another"))
}

/// The file that the storage has taken. *Integrity* if its digest is not that of what was sent.
fn stored(
    answer: &Response,
    place: &FileKey,
    outgoing: &PendingUpload,
    content_type: Option<String>,
) -> Result<StoredFile> {
    let sent = outgoing.source.md5();
    let mut file = described(place, outgoing);
    file.expiry = expiry(answer);
    if !outgoing.encrypted {
        file.content_type = content_type;
    }
    match etag(answer) {
        Some(etag) if sent.as_ref() != Some(&etag) => Err(Error::new(
            ErrorKind::Integrity,
            Effect::Applied,
            "the storage has other bytes than were sent; no message names the file: delete it and send it again",
        )
        .with_stored(file)),
        _ => Ok(file),
    }
}

fn described(place: &FileKey, outgoing: &PendingUpload) -> StoredFile {
    let source = &outgoing.source;
    let mut file = StoredFile::new(place.reference(), place.name.clone());
    file.size = Some(source.size);
    file.stored_size = Some(source.stored_size);
    if !outgoing.encrypted {
        file.digests = source.md5().iter().map(|md5| Digest::new(DigestAlgorithm::Md5, md5)).collect();
    }
    file
}

/// The MD5 of what is stored, where the `ETag` is one.
pub(crate) fn etag(answer: &Response) -> Option<String> {
    answer.strong_etag().and(answer.opaque_tag()).filter(|tag| is_md5(tag)).map(str::to_ascii_lowercase)
}

/// The day on which the storage deletes the file.
pub(crate) fn expiry(answer: &Response) -> Expiry {
    let date = answer.header("x-amz-expiration").and_then(|text| {
        let (_, rest) = text.split_once("expiry-date=\"")?;
        jiff::fmt::rfc2822::parse(rest.split_once('"')?.0).ok()
    });
    date.map_or(Expiry::Default, |date| Expiry::At(date.timestamp()))
}

fn possibly_stored(error: Error, place: &FileKey) -> Error {
    let reference = place.reference();
    error.with_effect(Effect::Unknown).with_note(&format!(
        "the file may be stored as {}, and no message names it",
        reference.to_string().trim_start_matches(':')
    ))
}

/// The file is stored, its message failed: everything that finishes it, and why it is to be finished.
fn not_announced(cause: Error, file: StoredFile) -> Error {
    let maybe = if cause.effect() == Effect::Unknown { ", or nobody knows whether it was" } else { "" };
    let message = format!(
        "the file is stored, but the message that names it was not published{maybe}: {}; publish it with \
         `filestore pubnub publish REF`, or publish_file_message",
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
    if let Some(wait) = cause.retry_after() {
        error = error.with_retry_after(wait);
    }
    error.with_source(cause)
}
