//! Uploads: one request, and the check of its response against the terms of the upload.

use filestore_core::{Effect, Error, ErrorKind, Expiry, Feature, FileStore, Result, StoredFile, Upload, check_secret};
use filestore_http::{Idempotency, Method, RequestBody, Response};
use jiff::{SignedDuration, Timestamp};
use serde::de::IgnoredAny;
use url::form_urlencoded;

use crate::FileIoStore;
use crate::account::FileIoFile;
use crate::anonymous::{AnonymousToken, OwnedUpload};
use crate::key::FileKey;
use crate::terms::{Expiration, UploadTerms};
use crate::wire;

/// The largest tolerated difference between the clock of the service and that of this machine.
const MAX_CLOCK_SKEW: SignedDuration = SignedDuration::from_mins(10);

const TOKEN_HEADER: &str = "x-file-io-anonymous-access-token";

impl FileIoStore {
    /// Uploads a file like [`upload`](filestore_core::FileStore::upload), and returns the token that the service gives
    /// to uploads without an account. Errors and their effect are those of `upload`.
    ///
    /// ```no_run
    /// # async fn example(store: filestore_fileio::FileIoStore) -> filestore_core::Result<()> {
    /// use filestore_core::{FileStore, Upload};
    ///
    /// let owned = store.upload_owned(Upload::new("a.txt", "hello")).await?;
    /// if let Some(token) = &owned.token {
    ///     store.with_token(token)?.delete(owned.file.reference().into()).await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn upload_owned(&self, upload: Upload) -> Result<OwnedUpload> {
        self.post_file(upload).await
    }

    /// Uploads `text` like the form on the service's home page; the service chooses the file's name.
    ///
    /// Errors and their effect are those of `upload`.
    pub async fn upload_text(&self, text: impl Into<String> + Send, expiry: Expiry) -> Result<OwnedUpload> {
        let text = text.into();
        // 1. Reject what the service certainly rejects.
        let terms = UploadTerms { expiration: Expiration::of(expiry, self.now())?, ..UploadTerms::default() };
        self.check_terms(&terms)?;
        // 2. A form of one or two fields.
        let body =
            RequestBody::Bytes(Some("application/x-www-form-urlencoded"), text_form(&text, &terms.expiration).into());
        let request =
            self.request(Method::POST, self.base().clone(), Idempotency::NonIdempotent).body(body).fresh_connection();
        // 3. The response is that of an upload.
        let response = self.send(request).await.map_err(possibly_stored)?;
        self.stored(response, &terms, "text.txt", || text.len() as u64).await
    }

    /// Returns a store for the same service that can update, replace and delete the one file of `token`.
    ///
    /// *Invalid input* if the token is empty, *config* if it is not a valid header value.
    pub fn with_token(&self, token: &AnonymousToken) -> Result<Self> {
        check_secret("token", token.expose())?;
        self.as_owner(token.expose())
            .map_err(|_| Error::config("the anonymous token holds a character that no HTTP header can hold; check it"))
    }

    pub(crate) async fn post_file(&self, upload: Upload) -> Result<OwnedUpload> {
        // 1. Reject what the service certainly rejects.
        upload.check(self.capabilities())?;
        let terms = UploadTerms::of(&upload, self.now())?;
        self.check_terms(&terms)?;
        self.check_size(&upload.body)?;
        // 2. One form: options first, so that the service knows them before the content.
        let form = self.with_file(terms.form(), &upload.name, upload.content_type.as_deref(), upload.body)?;
        let idempotency = Idempotency::NonIdempotent;
        #[cfg(planted_bugs)]
        let idempotency =
            if filestore_core::planted_bug("double-upload") { Idempotency::Idempotent } else { idempotency };
        let mut request = self.request(Method::POST, self.base().clone(), idempotency).buffered();
        if let Some(title) = &terms.title {
            // Known only as a parameter of the query.
            request = request.query("title", title);
        }
        // 3. Sent once: a second success would create a second file, whose key is lost.
        let response = self.send(request.body(form.clone()).fresh_connection()).await.map_err(possibly_stored)?;
        // 4. Check the response against the terms and the size of the sent content.
        self.stored(response, &terms, &upload.name, || form.content_sent()).await
    }

    /// Returns the file of `response`, the response to an upload, checked against `terms` and the size that was `sent`.
    pub(crate) async fn stored(
        &self,
        response: Response,
        terms: &UploadTerms,
        name: &str,
        sent: impl FnOnce() -> u64 + Send,
    ) -> Result<OwnedUpload> {
        let (response, wire) = self.confirmed::<wire::File>(response, None).await.map_err(possibly_stored)?;
        let key = wire.key.as_deref().and_then(FileKey::new).ok_or_else(|| {
            response.error(
                ErrorKind::Protocol,
                "the service reports a stored file without a valid key, so the file cannot be read",
            )
        })?;
        let token = response.header(TOKEN_HEADER).map(AnonymousToken::new);
        let (sent, about_now) = (sent(), self.about_now());
        // Without a time of creation, the file was created now.
        let starts_of = |file: &StoredFile| match file.created {
            Some(created) => vec![Some(created)],
            None => about_now.to_vec(),
        };
        let stored = FileIoFile::new(&key, wire, name);
        // First of all: even a file of the wrong size must not stay unprotected.
        let (mut stored, missing) = self.missing_protection(&key, stored, terms, starts_of).await;
        if let Some(missing) = missing {
            return Err(self.undo(&key, stored.file, token.as_ref(), &missing).await);
        }
        let starts = starts_of(&stored.file);
        terms.check_size(&stored, Some(sent))?;
        stored.file.skipped = terms.ignored(&stored, &starts);
        terms.warn_of_defaults(&stored);
        let mut file = stored.file;
        file.size.get_or_insert(sent);
        file.stored_size.get_or_insert(sent);
        Ok(OwnedUpload { file, token })
    }

    /// Returns the times between which something has happened that happened now: the clock of the service may differ.
    pub(crate) fn about_now(&self) -> [Option<Timestamp>; 2] {
        [-MAX_CLOCK_SKEW, MAX_CLOCK_SKEW].map(|shift| self.now().checked_add(shift).ok())
    }

    /// Returns the file and a description of the requested protection that it lacks; see
    /// [`UploadTerms::missing_protection`]. If a short response of generation 1 does not confirm it, the account's
    /// listing may.
    pub(crate) async fn missing_protection(
        &self,
        key: &FileKey,
        stored: FileIoFile,
        terms: &UploadTerms,
        starts_of: impl Fn(&StoredFile) -> Vec<Option<Timestamp>> + Send,
    ) -> (FileIoFile, Option<String>) {
        let missing = terms.missing_protection(&stored, &starts_of(&stored.file));
        if missing.is_none() || stored.is_generation_2 {
            return (stored, missing);
        }
        match self.look_up(key).await {
            Ok(Some(listed)) => {
                let missing = terms.missing_protection(&listed, &starts_of(&listed.file));
                (listed, missing)
            }
            _ => (stored, missing),
        }
    }

    /// Deletes a file that the service stored without a requested protection. Returns the error to report.
    async fn undo(&self, key: &FileKey, file: StoredFile, token: Option<&AnonymousToken>, missing: &str) -> Error {
        let deleted = async {
            let owner = token.map(|token| self.with_token(token)).transpose()?;
            let owner = owner.as_ref().unwrap_or(self);
            owner.capabilities().check(Feature::Delete)?;
            // A 404 is an error here: it does not prove that the file, which was just stored, is deleted.
            let response = owner.send(owner.management(Method::DELETE, key, Idempotency::Idempotent)).await?;
            owner.confirmed::<IgnoredAny>(response, Some(key)).await
        }
        .await;
        match deleted {
            Ok(_) => {
                let message = format!("{missing}; the file was deleted again, and nothing is stored");
                Error::new(ErrorKind::Unsupported, Effect::Rejected, message)
            }
            Err(error) => {
                let message = format!("the file is stored, but {missing}; it could not be deleted again, so delete it");
                Error::new(ErrorKind::Incomplete, Effect::Applied, message).with_stored(file).with_source(error)
            }
        }
    }
}

/// Notes in an error of unknown effect that the file may be stored.
pub(crate) fn possibly_stored(error: Error) -> Error {
    match error.effect() {
        Effect::Unknown => error.with_note("the file may be stored nevertheless"),
        _ => error,
    }
}

fn text_form(text: &str, expiration: &Expiration) -> String {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("text", text);
    if let Some(expires) = expiration.form_value() {
        form.append_pair("expires", &expires);
    }
    form.finish()
}
