//! Uploads: one request, and the comparison of its response with what was asked for.

use filestore_core::{Effect, Error, ErrorKind, Expiry, Feature, FileStore, Result, StoredFile, Upload, check_secret};
use filestore_http::{Idempotency, Method, RequestBody, Response};
use jiff::SignedDuration;
use serde::de::IgnoredAny;
use url::form_urlencoded;

use crate::FileIoStore;
use crate::account::FileIoFile;
use crate::anonymous::{AnonymousToken, OwnedUpload};
use crate::key::FileKey;
use crate::terms::{Expiration, UploadTerms};
use crate::wire;

/// So far apart may two clocks be.
pub(crate) const CLOCKS_DIFFER: SignedDuration = SignedDuration::from_mins(10);

const TOKEN_HEADER: &str = "x-file-io-anonymous-access-token";

impl FileIoStore {
    /// [`upload`](filestore_core::FileStore::upload), and with it the token that the service gives to
    /// uploads without an account. Errors and their effect are those of `upload`.
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

    /// Stores `text` as the service's home page does; the service chooses the file's name.
    ///
    /// Errors and their effect are those of `upload`.
    pub async fn upload_text(&self, text: impl Into<String> + Send, expiry: Expiry) -> Result<OwnedUpload> {
        let text = text.into();
        // 1. What is certain to be rejected is not sent.
        let asked = UploadTerms { life: Expiration::of(expiry, self.now())?, ..UploadTerms::default() };
        self.check_plan(&asked)?;
        // 2. A form of one or two fields.
        let body = RequestBody::Bytes(Some("application/x-www-form-urlencoded"), text_form(&text, &asked.life).into());
        let request =
            self.request(Method::POST, self.base().clone(), Idempotency::NonIdempotent).body(body).fresh_connection();
        // 3. The answer is that of an upload.
        let answer = self.send(request).await.map_err(possibly_stored)?;
        self.stored(answer, &asked, "text.txt", || text.len() as u64).await
    }

    /// The same service, as the owner of one file: update, replace and delete that file with it.
    ///
    /// *Invalid input* if the token is empty, *config* if it cannot be a header.
    pub fn with_token(&self, token: &AnonymousToken) -> Result<Self> {
        check_secret("token", token.expose())?;
        self.as_owner(token.expose())
            .map_err(|_| Error::config("the anonymous token holds characters that no header can hold"))
    }

    pub(crate) async fn post_file(&self, upload: Upload) -> Result<OwnedUpload> {
        // 1. What is certain to be rejected is not sent.
        upload.check(self.capabilities())?;
        let asked = UploadTerms::of(&upload, self.now())?;
        self.check_plan(&asked)?;
        self.check_size(&upload.body)?;
        // 2. One form: options first, so that the service knows them before the content.
        let form = self.with_file(asked.form(), &upload.name, upload.content_type.as_deref(), upload.body)?;
        let mut request = self.request(Method::POST, self.base().clone(), Idempotency::NonIdempotent).buffered();
        if let Some(title) = &asked.title {
            // The title was only ever seen in the query.
            request = request.query("title", title);
        }
        // 3. Sent once. A second success would be a second file with a link that nobody knows.
        let answer = self.send(request.body(form.clone()).fresh_connection()).await.map_err(possibly_stored)?;
        // 4. The answer, compared with what was asked for and sent.
        self.stored(answer, &asked, &upload.name, || form.content_sent()).await
    }

    /// The file that an upload's answer speaks of.
    pub(crate) async fn stored(
        &self,
        answer: Response,
        asked: &UploadTerms,
        name: &str,
        sent: impl FnOnce() -> u64 + Send,
    ) -> Result<OwnedUpload> {
        let (answer, wire) = self.confirmed::<wire::File>(answer, None).await.map_err(possibly_stored)?;
        let key = wire.key.as_deref().and_then(FileKey::new).ok_or_else(|| {
            answer.error(ErrorKind::Protocol, "the service says that the file is stored, but not under which key")
        })?;
        let token = answer.header(TOKEN_HEADER).map(AnonymousToken::new);
        let (created, sent) = (wire.created, sent());
        let mut stored = FileIoFile::new(&key, wire, name);
        // Where the service does not say when it was stored, it was now, by clocks that may differ.
        let about_now = |shift: SignedDuration| self.now().checked_add(shift).ok();
        let starts = match created {
            Some(created) => [Some(created), None],
            None => [about_now(-CLOCKS_DIFFER), about_now(CLOCKS_DIFFER)],
        };
        // First of all: a file that is not what was sent may not stay unprotected, either.
        if let Some(lost) = asked.lost_protection(&stored, &starts) {
            return Err(self.undo(&key, stored.file, token.as_ref(), &lost).await);
        }
        asked.check_size(&stored, Some(sent))?;
        stored.file.skipped = asked.ignored(&stored, &starts);
        let mut file = stored.file;
        file.size.get_or_insert(sent);
        file.stored_size.get_or_insert(sent);
        Ok(OwnedUpload { file, token })
    }

    /// Deletes a file that the service stored without a protection that was asked for, and says so.
    async fn undo(&self, key: &FileKey, file: StoredFile, token: Option<&AnonymousToken>, lost: &str) -> Error {
        let deleted = async {
            let owner = token.map(|token| self.with_token(token)).transpose()?;
            let owner = owner.as_ref().unwrap_or(self);
            owner.capabilities().check(Feature::Delete)?;
            // A file that was just stored and is not found is not a file that was deleted.
            let answer = owner.send(owner.management(Method::DELETE, key, Idempotency::Idempotent)).await?;
            owner.confirmed::<IgnoredAny>(answer, Some(key)).await
        }
        .await;
        match deleted {
            Ok(_) => {
                let message = format!("{lost}; the file was deleted again, and nothing is stored");
                Error::new(ErrorKind::Unsupported, Effect::Rejected, message)
            }
            Err(error) => {
                let message = format!("the file is stored, but {lost}; delete it: it could not be deleted here");
                Error::new(ErrorKind::Incomplete, Effect::Applied, message).with_stored(file).with_source(error)
            }
        }
    }
}

/// Says what an upload's lost answer means. Other answers of which the effect is unknown speak for
/// themselves: a web page, or a success without a key.
pub(crate) fn possibly_stored(error: Error) -> Error {
    match (error.kind(), error.effect()) {
        (ErrorKind::Unavailable | ErrorKind::Timeout, Effect::Unknown) => {
            error.with_note("the file may be stored all the same")
        }
        _ => error,
    }
}

fn text_form(text: &str, life: &Expiration) -> String {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("text", text);
    if let Some(expires) = life.form_value() {
        form.append_pair("expires", &expires);
    }
    form.finish()
}
