//! Changing a stored file: some of it, or all of it.

use std::sync::Arc;

use bytes::Bytes;
use filestore_core::{Body, Effect, Error, ErrorKind, Expiry, FileRef, FileStore, Result, Upload};
use filestore_http::{Idempotency, Method, RequestBody, Response};
use jiff::SignedDuration;
use serde_json::{Map, Value};

use crate::FileIoStore;
use crate::account::FileIoFile;
use crate::key::FileKey;
use crate::options::MaxDownloads;
use crate::terms::{Expiration, UploadTerms};
use crate::upload::CLOCKS_DIFFER;
use crate::wire;

/// What to change of a file; what is not said is kept.
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
    /// When it goes away, counted from the update.
    pub expiry: Option<Expiry>,
    /// How many downloads it allows in all.
    pub max_downloads: Option<MaxDownloads>,
    /// Whether it is deleted when it is used up or expired.
    pub auto_delete: Option<bool>,
    /// Its title.
    pub title: Option<String>,
    /// Its description.
    pub description: Option<String>,
    /// Its name and content.
    pub content: Option<(String, Body)>,
}

impl FileIoUpdate {
    /// Changes nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says when it goes away: a [`Period`](filestore_core::Period) from now, an instant, never.
    pub fn expires(mut self, expiry: impl Into<Expiry>) -> Self {
        self.expiry = Some(expiry.into());
        self
    }

    /// Allows so many downloads in all.
    pub fn max_downloads(mut self, downloads: impl Into<MaxDownloads>) -> Self {
        self.max_downloads = Some(downloads.into());
        self
    }

    /// Says whether it is deleted when it is used up or expired.
    pub fn auto_delete(mut self, auto_delete: bool) -> Self {
        self.auto_delete = Some(auto_delete);
        self
    }

    /// Gives it a title.
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = Some(title.into());
        self
    }

    /// Gives it a description.
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }

    /// Gives it another name and content. The key stays.
    pub fn content(mut self, name: impl Into<String>, body: impl Into<Body>) -> Self {
        self.content = Some((name.into(), body.into()));
        self
    }

    /// Titles and descriptions were only ever seen in JSON, files only in forms.
    fn is_json(&self) -> bool {
        self.title.is_some() || self.description.is_some()
    }

    fn json(&self, asked: &UploadTerms) -> Bytes {
        let fields = [
            ("expires", asked.life.form_value().map(Value::from)),
            ("maxDownloads", asked.max_downloads.map(|max| max.times().map_or_else(|| "".into(), Value::from))),
            ("autoDelete", asked.auto_delete.map(Value::from)),
            ("title", self.title.clone().map(Value::from)),
            ("description", self.description.clone().map(Value::from)),
        ];
        let object: Map<_, _> =
            fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
        Value::from(object).to_string().into()
    }
}

impl FileIoStore {
    /// Changes a file; what `update` does not say is kept.
    ///
    /// Errors: *invalid input* (nothing to change, or a title together with content), *unsupported*
    /// without an API key or token, *not found*, *permission*, *incomplete* when the service answers
    /// with something else than was asked for. With new content, a lost answer has the effect
    /// *unknown* and is not repeated.
    pub async fn update(&self, reference: &FileRef, update: FileIoUpdate) -> Result<FileIoFile> {
        // 1. What cannot be right is not sent.
        let key = FileKey::of(reference)?;
        self.check_owner("an update")?;
        let asked = UploadTerms {
            life: Expiration::of(update.expiry.unwrap_or_default(), self.now())?,
            max_downloads: update.max_downloads,
            auto_delete: update.auto_delete,
            title: update.title.clone(),
            description: update.description.clone(),
        };
        let is_json = update.is_json();
        if is_json && update.content.is_some() {
            return Err(Error::invalid("title and content cannot change in one request; make two updates"));
        }
        // 2. JSON or a form.
        let (body, idempotency, form) = match &update.content {
            None if is_json => {
                (RequestBody::Bytes(Some("application/json"), update.json(&asked)), Idempotency::Idempotent, None)
            }
            None => {
                let form = asked.form();
                if form.is_empty() {
                    return Err(Error::invalid("the update says nothing to change"));
                }
                (RequestBody::Form(form), Idempotency::Idempotent, None)
            }
            Some(_) => {
                let Some((name, body)) = update.content else { return Err(Error::invalid("no content")) };
                let form = self.with_file(asked.form(), &name, None, body)?;
                (RequestBody::Form(form.clone()), Idempotency::NonIdempotent, Some(form))
            }
        };
        let request = self.management(Method::PATCH, &key, idempotency).body(body);
        // 3. What the file is now.
        let answer = self.send(request).await?;
        self.changed(answer, &key, &asked, "unnamed", || form.map(|form| form.content_sent())).await
    }

    /// Replaces a file by `upload`; the key stays, and every option that `upload` does not say goes
    /// back to its default. Errors are those of an upload, and *not found*.
    pub async fn replace(&self, reference: &FileRef, upload: Upload) -> Result<FileIoFile> {
        let key = FileKey::of(reference)?;
        self.check_owner("a replacement")?;
        upload.check(self.capabilities())?;
        let asked = UploadTerms::of(&upload, self.now())?;
        self.check_size(&upload.body)?;
        let form = self.with_file(asked.form(), &upload.name, upload.content_type.as_deref(), upload.body)?;
        let mut request = self.management(Method::PUT, &key, Idempotency::NonIdempotent).body(form.clone());
        if let Some(title) = &asked.title {
            request = request.query("title", title);
        }
        let answer = self.send(request).await?;
        self.changed(answer, &key, &asked, &upload.name, || Some(form.content_sent())).await
    }

    /// The file that an update's answer speaks of. Whether a new period counts from the upload or from
    /// the update is not documented: both are right.
    ///
    /// A protection that the service did not give is *incomplete*: what the file was before is gone.
    pub(crate) async fn changed(
        &self,
        answer: Response,
        key: &FileKey,
        asked: &UploadTerms,
        name: &str,
        sent: impl FnOnce() -> Option<u64> + Send,
    ) -> Result<FileIoFile> {
        let (_, wire) = self.confirmed::<wire::File>(answer, Some(key)).await?;
        // Where the service says no time at all, the update was now, by clocks that may differ.
        let about_now = |shift: SignedDuration| self.now().checked_add(shift).ok();
        let starts = match (wire.modified, wire.created) {
            (None, None) => [about_now(-CLOCKS_DIFFER), about_now(CLOCKS_DIFFER), None],
            (modified, created) => [modified, created, created.and(Some(self.now()))],
        };
        let mut stored = FileIoFile::new(key, wire, name);
        asked.check_size(&stored, sent())?;
        if let Some(lost) = asked.lost_protection(&stored, &starts) {
            let message = format!("the file is changed, but {lost}");
            return Err(Error::new(ErrorKind::Incomplete, Effect::Applied, message).with_stored(stored.file));
        }
        stored.file.skipped = asked.ignored(&stored, &starts);
        Ok(stored)
    }

    /// `form` with a file at its end. *Invalid input* for a name that a form would change.
    pub(crate) fn with_file(
        &self,
        form: filestore_http::Form,
        name: &str,
        content_type: Option<&str>,
        body: Body,
    ) -> Result<filestore_http::Form> {
        filestore_core::validate_name(name, &self.capabilities().names)?;
        validate_name(name)?;
        let guessed = || mime_guess::from_path(name).first_or_octet_stream().to_string();
        let content_type = content_type.map_or_else(guessed, str::to_owned);
        Ok(form.file("file", name, Some(&content_type), Arc::new(body)))
    }
}

/// Forms write a quote and the ends of lines as these three and have no escape for the escapes, so a
/// name that holds one as text arrives as another.
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
