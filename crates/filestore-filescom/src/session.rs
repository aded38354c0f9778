//! Sessions: login with an optional second factor, logout, and the same store with another credential.

use filestore_core::{Error, Result, check_secret};
use filestore_http::{Idempotency, Method};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::api::{self, Credential};
use crate::error::{self, Rejection};
use crate::path::SitePath;
use crate::store::FilesComStore;
use crate::wire;

/// The types of the rejections that mean that a session has ended. Other types of the group mean that it still exists.
const ENDED: [&str; 2] = ["not-authenticated/invalid-session", "not-authenticated/invalid-credentials"];

const SECOND_FACTOR_REQUIRED: &str = "not-authorized/two-factor-authentication-required";

/// The largest number of methods of a second factor that are shown, and the largest length of one.
const MAX_METHODS: usize = 10;
const MAX_METHOD: usize = 40;

/// A user name, a password and an optional one-time password, for a [`login`](FilesComStore::login). `Debug` hides the
/// passwords.
///
/// ```
/// use filestore_filescom::Login;
///
/// let login = Login::new("ann", "correct horse").one_time_password("123456");
/// assert!(!format!("{login:?}").contains("horse"));
/// ```
#[derive(Debug, Clone)]
pub struct Login {
    username: String,
    password: SecretString,
    one_time_password: Option<SecretString>,
    partial_session: Option<SecretString>,
}

impl Login {
    /// Creates a login with user name and password.
    pub fn new(username: impl Into<String>, password: impl Into<String>) -> Self {
        Self {
            username: username.into(),
            password: password.into().into(),
            one_time_password: None,
            partial_session: None,
        }
    }

    /// Adds a one-time password, for an account that is known to require one.
    pub fn one_time_password(mut self, password: impl Into<String>) -> Self {
        self.one_time_password = Some(password.into().into());
        self
    }

    /// Answers the service's challenge for a second factor.
    pub fn answer(mut self, challenge: &SecondFactor, one_time_password: impl Into<String>) -> Self {
        self.partial_session = Some(challenge.partial_session.clone());
        self.one_time_password(one_time_password)
    }

    /// Returns what the request contains and no error may show.
    fn secrets(&self) -> impl Iterator<Item = SecretString> {
        let optional = [&self.one_time_password, &self.partial_session];
        std::iter::once(&self.password).chain(optional.into_iter().flatten()).cloned()
    }
}

/// The service's challenge for a second factor. `Debug` shows the methods only.
#[derive(Debug, Clone)]
pub struct SecondFactor {
    partial_session: SecretString,
    methods: Vec<String>,
}

impl SecondFactor {
    /// Returns the challenge of a failed [`login`](FilesComStore::login); `None` if it failed for another reason.
    pub fn of(error: &Error) -> Option<Self> {
        let rejection = Rejection::of(error).filter(|_| error::is(error, SECOND_FACTOR_REQUIRED))?;
        let wire = wire::SecondFactor::deserialize(rejection.data()).ok()?;
        let partial_session = wire.partial_session_id.expose_secret().to_ascii_lowercase();
        // As for every secret: a shorter one is in many texts by chance.
        let has_secret =
            |text: &str| partial_session.len() >= 4 && text.to_ascii_lowercase().contains(&partial_session);
        let mut methods = wire.two_factor_authentication_methods;
        methods.retain(|method| is_method(method) && !has_secret(method));
        methods.truncate(MAX_METHODS);
        Some(Self { partial_session: wire.partial_session_id, methods })
    }

    /// Returns the methods that the account has, in the words of the service, such as `totp`, `sms`, `yubi`: at most 10
    /// of at most 40 letters, digits, `_` and `-`. A method in which the service repeats a secret of the login is left
    /// out.
    pub fn methods(&self) -> &[String] {
        &self.methods
    }
}

/// Returns `true` for an identifier. A text with a secret of the request is none, because the secret is replaced by
/// `...`.
fn is_method(text: &str) -> bool {
    let is_identifier = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    is_identifier && (1..=MAX_METHOD).contains(&text.len())
}

/// The session of a user who is logged in. Its id is a secret that grants the user's rights; `Debug` hides it.
///
/// A session ends with a [`logout`](FilesComStore::logout), or after the time that the site's settings allow. Then
/// every request fails with *unauthenticated*; there is no automatic login.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LoginSession {
    /// The credential, for [`FilesComConfig::session_id`](crate::FilesComConfig::session_id).
    pub id: SecretString,
    /// `true` if the session may only read.
    pub read_only: bool,
}

impl FilesComStore {
    /// Logs in and returns the session. The store keeps its credential; [`with_session`](Self::with_session) returns
    /// one that uses the session.
    ///
    /// *Invalid input* for an empty password. *Unauthenticated* if name or password are wrong, if the account is locked
    /// or belongs to another region, or if a second factor is required, which [`SecondFactor::of`] shows. *Rate
    /// limited* after too many attempts. There is no retry after a lost response, which may leave an unused session
    /// until it expires.
    ///
    /// ```no_run
    /// # async fn example(store: filestore_filescom::FilesComStore) -> filestore_core::Result<()> {
    /// use filestore_filescom::{Login, SecondFactor};
    ///
    /// let login = Login::new("ann", "correct horse");
    /// let session = match store.login(&login).await {
    ///     Ok(session) => session,
    ///     Err(error) => match SecondFactor::of(&error) {
    ///         Some(challenge) => store.login(&login.answer(&challenge, "123456")).await?,
    ///         None => return Err(error),
    ///     },
    /// };
    /// let store = store.with_session(&session)?;
    /// // ...
    /// store.logout().await
    /// # }
    /// ```
    pub async fn login(&self, login: &Login) -> Result<LoginSession> {
        check_secret("password", login.password.expose_secret())?;
        if let Some(password) = &login.one_time_password {
            check_secret("one_time_password", password.expose_secret())?;
        }
        let exposed = |secret: &Option<SecretString>| secret.as_ref().map(|secret| secret.expose_secret().to_owned());
        let (otp, partial) = (exposed(&login.one_time_password), exposed(&login.partial_session));
        let body = wire::NewSession {
            username: &login.username,
            password: login.password.expose_secret(),
            otp: otp.as_deref(),
            partial_session_id: partial.as_deref(),
        };
        // The service rejects a login that carries a credential.
        let request = self
            .api()
            .anonymous_request(Method::POST, "sessions", &SitePath::default(), Idempotency::NonIdempotent)
            .body(api::json(&body)?)
            .secrets(login.secrets().collect());
        let mut response = self.api().http().send(request).await?;
        if !response.status().is_success() {
            return Err(error::rejected(response).await);
        }
        let session: wire::CreatedSession = api::read(&mut response).await?;
        if session.id.expose_secret().trim().is_empty() {
            return Err(response.unexpected("the id of a session"));
        }
        Ok(LoginSession { id: session.id, read_only: session.read_only })
    }

    /// Ends the session of this store. A session that has already ended is no error.
    ///
    /// *Invalid input* if the store has an API key or no credential.
    pub async fn logout(&self) -> Result<()> {
        if !matches!(self.api().credential(), Some(Credential::Session(_))) {
            return Err(Error::invalid("this store has no session to end; call logout on a store from with_session"));
        }
        let request = self.api().request(Method::DELETE, "sessions", &SitePath::default(), Idempotency::Idempotent)?;
        match self.api().remove(request).await {
            Err(error) if ENDED.iter().any(|ended| error::is(&error, ended)) => Ok(()),
            ended => ended,
        }
    }

    /// Returns the same store with the credential of `session`, over the same connections. *Invalid input* if the id is
    /// empty, *config* if it cannot be a header.
    pub fn with_session(&self, session: &LoginSession) -> Result<Self> {
        self.with_credential(Credential::Session(session.id.clone()))
    }

    /// Returns the same store with another API key, over the same connections. *Invalid input* if the key is empty,
    /// *config* if it cannot be a header.
    ///
    /// ```
    /// # use filestore_filescom::{FilesComConfig, FilesComStore};
    /// # fn example(store: FilesComStore) -> filestore_core::Result<()> {
    /// let other_store = store.with_api_key("abc123")?.with_workspace(Some(7));
    /// # Ok(())
    /// # }
    /// ```
    pub fn with_api_key(&self, api_key: impl Into<String>) -> Result<Self> {
        self.with_credential(Credential::ApiKey(api_key.into().into()))
    }
}
