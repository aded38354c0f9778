//! Uploads without an account that can be managed all the same, and uploads of text.

use std::fmt;

use filestore_core::{Error, Expiry, Result, StoredFile, Upload, check_secret};
use filestore_http::{Method, Payload, Repeat};
use secrecy::{ExposeSecret, SecretString};
use url::form_urlencoded;

use crate::FileIoStore;
use crate::store::possibly_stored;
use crate::upload::{Asked, Life};

/// A stored file, and the means to manage it.
#[derive(Debug)]
#[non_exhaustive]
pub struct OwnedUpload {
    /// The file.
    pub file: StoredFile,
    /// What the service gave to manage this one file with: for a day, where there is no account.
    pub token: Option<AnonymousToken>,
}

/// The right to manage one file that was uploaded without an account.
///
/// The service never documented it. It was seen to let a client change the file; whether it lets it
/// delete is for the service to say. `Debug` hides it.
#[derive(Clone)]
pub struct AnonymousToken(SecretString);

impl AnonymousToken {
    /// A token that was kept.
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    /// The text, to keep it: whoever has it may change the file.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for AnonymousToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AnonymousToken(...)")
    }
}

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
        // 1. What is certain to be refused is not sent.
        let asked = Asked { life: Life::of(expiry, self.now())?, ..Asked::default() };
        self.check_plan(&asked)?;
        // 2. A form of one or two fields.
        let body = Payload::Bytes(Some("application/x-www-form-urlencoded"), text_form(&text, &asked.life).into());
        let request = self.request(Method::POST, self.base().clone(), Repeat::Once).payload(body).own_connection();
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
}

fn text_form(text: &str, life: &Life) -> String {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("text", text);
    if let Some(expires) = life.form_value() {
        form.append_pair("expires", &expires);
    }
    form.finish()
}
