//! Changes of a stored file: updates of some fields, and replacements.

use std::sync::Arc;

use bytes::Bytes;
use filestore_core::{
    Body, Effect, Error, ErrorKind, Expiry, FileRef, FileStore, Result, StoredFile, Upload, guess_content_type,
};
use filestore_http::{Idempotency, Method, RequestBody, Response};
use serde_json::{Map, Value};

use crate::FileIoStore;
use crate::account::FileIoFile;
use crate::key::FileKey;
use crate::options::MaxDownloads;
use crate::terms::{Expiration, UploadTerms};
use crate::wire;

/// The changes of an update. Fields that are not set keep their values.
///
/// ```
/// use filestore_core::Period;
/// use filestore_fileio::FileIoUpdate;
///
/// let update = FileIoUpdate::new().expires(Period::days(30)).max_downloads(10);
/// ```
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct FileIoUpdate {
    /// The expiry. The service does not document whether a period counts from the upload or from the update.
    pub expiry: Option<Expiry>,
    /// The number of downloads that are allowed in all.
    pub max_downloads: Option<MaxDownloads>,
    /// `true` if the service deletes the file after its last download or its expiry.
    pub auto_delete: Option<bool>,
    /// The title.
    pub title: Option<String>,
    /// The description.
    pub description: Option<String>,
    /// The name and the content.
    pub content: Option<(String, Body)>,
}

impl FileIoUpdate {
    /// Creates an update without changes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the expiry: a [`Period`](filestore_core::Period), an instant, or never.
    pub fn expires(mut self, expiry: impl Into<Expiry>) -> Self {
        self.expiry = Some(expiry.into());
        self
    }

    /// Sets the number of downloads that are allowed in all.
    pub fn max_downloads(mut self, downloads: impl Into<MaxDownloads>) -> Self {
        self.max_downloads = Some(downloads.into());
        self
    }

    /// Sets whether the service deletes the file after its last download or its expiry.
    pub fn auto_delete(mut self, auto_delete: bool) -> Self {
        self.auto_delete = Some(auto_delete);
        self
    }

    /// Sets the title.
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = Some(title.into());
        self
    }

    /// Sets the description.
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }

    /// Sets the name and the content. The key stays.
    pub fn content(mut self, name: impl Into<String>, body: impl Into<Body>) -> Self {
        self.content = Some((name.into(), body.into()));
        self
    }

    /// Returns `true` if the update is sent as JSON: titles and descriptions are known only in JSON, files only in
    /// forms.
    fn is_json(&self) -> bool {
        self.title.is_some() || self.description.is_some()
    }

    fn json(&self, terms: &UploadTerms) -> Bytes {
        let fields = [
            ("expires", terms.expiration.form_value().map(Value::from)),
            ("maxDownloads", terms.max_downloads.map(|max| max.times().map_or_else(|| "".into(), Value::from))),
            ("autoDelete", terms.auto_delete.map(Value::from)),
            ("title", self.title.clone().map(Value::from)),
            ("description", self.description.clone().map(Value::from)),
        ];
        let object: Map<_, _> =
            fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
        Value::from(object).to_string().into()
    }
}

impl FileIoStore {
    /// Changes a file. Fields that `update` does not set keep their values.
    ///
    /// Errors: *invalid input* (nothing to change, or a title or description together with content), *unsupported*
    /// without an API key or token, *not found*, *permission*, *incomplete* if the service does not apply a requested
    /// limit. With new content, a lost response has the effect *unknown*, and the request is not retried.
    pub async fn update(&self, reference: &FileRef, update: FileIoUpdate) -> Result<FileIoFile> {
        // 1. Reject an invalid update.
        let key = FileKey::of(reference)?;
        self.check_owner("an update")?;
        if update.expiry == Some(Expiry::Default) {
            return Err(Error::invalid(
                "an update cannot return to the default expiry; give a period, an instant or never",
            ));
        }
        let terms = UploadTerms {
            expiration: Expiration::of(update.expiry.unwrap_or_default(), self.now())?,
            max_downloads: update.max_downloads,
            auto_delete: update.auto_delete,
            title: update.title.clone(),
            description: update.description.clone(),
            content_type: None,
        };
        self.check_terms(&terms)?;
        if let Some((_, body)) = &update.content {
            self.check_size(body)?;
        }
        let is_json = update.is_json();
        if is_json && update.content.is_some() {
            return Err(Error::invalid(
                "a title or description cannot change in one request with the content; send two updates",
            ));
        }
        // 2. JSON or a form.
        let (body, idempotency, form) = match &update.content {
            None if is_json => {
                (RequestBody::Bytes(Some("application/json"), update.json(&terms)), Idempotency::Idempotent, None)
            }
            None => {
                let form = terms.form();
                if form.is_empty() {
                    return Err(Error::invalid("the update changes nothing; set at least one field"));
                }
                (RequestBody::Form(form), Idempotency::Idempotent, None)
            }
            Some(_) => {
                let Some((name, body)) = update.content else { return Err(Error::invalid("no content")) };
                let form = self.with_file(terms.form(), &name, None, body)?;
                (RequestBody::Form(form.clone()), Idempotency::NonIdempotent, Some(form))
            }
        };
        let request = self.management(Method::PATCH, &key, idempotency).body(body);
        // 3. Check the response against the terms.
        let response = self.send(request).await?;
        self.changed(response, &key, &terms, "unnamed", || form.map(|form| form.content_sent())).await
    }

    /// Replaces a file with `upload`. The key stays. Options that `upload` does not set return to their defaults.
    /// Errors are those of an upload, and *not found*.
    pub async fn replace(&self, reference: &FileRef, upload: Upload) -> Result<FileIoFile> {
        let key = FileKey::of(reference)?;
        self.check_owner("a replacement")?;
        upload.check(self.capabilities())?;
        let terms = UploadTerms::of(&upload, self.now())?;
        self.check_terms(&terms)?;
        self.check_size(&upload.body)?;
        let form = self.with_file(terms.form(), &upload.name, upload.content_type.as_deref(), upload.body)?;
        let mut request = self.management(Method::PUT, &key, Idempotency::NonIdempotent).body(form.clone());
        if let Some(title) = &terms.title {
            request = request.query("title", title);
        }
        let response = self.send(request).await?;
        let stored = self.changed(response, &key, &terms, &upload.name, || Some(form.content_sent())).await?;
        terms.warn_of_defaults(&stored);
        Ok(stored)
    }

    /// Returns the file of `response`, the response to an update, checked against `terms` and the size that was `sent`.
    /// The service does not document whether a new period counts from the upload or from the update: both are accepted.
    ///
    /// A missing protection is *incomplete*: the previous state of the file is gone.
    pub(crate) async fn changed(
        &self,
        response: Response,
        key: &FileKey,
        terms: &UploadTerms,
        name: &str,
        sent: impl FnOnce() -> Option<u64> + Send,
    ) -> Result<FileIoFile> {
        let (_, wire) = self.confirmed::<wire::File>(response, Some(key)).await?;
        let (now, about_now) = (self.now(), self.about_now());
        // Without any time, the file was updated now.
        let starts_of = |file: &StoredFile| match (file.modified, file.created) {
            (None, None) => about_now.to_vec(),
            (modified, created) => vec![modified, created, created.and(Some(now))],
        };
        let stored = FileIoFile::new(key, wire, name);
        // First of all: a file of the wrong size must not have less protection without a word.
        let size = terms.check_size(&stored, sent());
        let (mut stored, missing) = self.missing_protection(key, stored, terms, starts_of).await;
        if let Some(missing) = missing {
            let message = format!("the file is changed, but {missing}");
            return Err(Error::new(ErrorKind::Incomplete, Effect::Applied, message).with_stored(stored.file));
        }
        size?;
        let starts = starts_of(&stored.file);
        stored.file.skipped = terms.ignored(&stored, &starts);
        Ok(stored)
    }

    /// Returns `form` with a file at its end. *Invalid input* for a name that a form would change.
    pub(crate) fn with_file(
        &self,
        form: filestore_http::Form,
        name: &str,
        content_type: Option<&str>,
        body: Body,
    ) -> Result<filestore_http::Form> {
        filestore_core::validate_name(name, &self.capabilities().names)?;
        validate_name(name)?;
        let content_type = content_type.or_else(|| guess_content_type(name)).unwrap_or("application/octet-stream");
        Ok(form.file("file", name, Some(content_type), Arc::new(body)))
    }
}

/// Rejects a name that a form would change: forms encode a quote and the ends of lines as `%22`, `%0D` and `%0A`, but
/// leave `%` as it is, so a name with one of these texts would arrive as another name.
fn validate_name(name: &str) -> Result<()> {
    let upper = name.to_ascii_uppercase();
    match ["%22", "%0D", "%0A"].into_iter().find(|escape| upper.contains(escape)) {
        Some(escape) => Err(Error::invalid(format!(
            "the file name holds {escape}, which a form turns into another character, so it would be stored under \
             another name; give it a name without %22, %0D and %0A"
        ))),
        None => Ok(()),
    }
}
