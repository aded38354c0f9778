//! Sessions: logging in with a second factor where one is asked for, and out; the same store for
//! somebody else.

use filestore_core::{Error, Result, check_secret};
use filestore_http::{Idempotency, Method};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::api::{self, Credential};
use crate::error::{self, Rejection};
use crate::path::SitePath;
use crate::store::FilesComStore;
use crate::wire;

/// What the service says of a session that is over: of others it says that it is in the way of something, not gone.
const ENDED: [&str; 2] = ["not-authenticated/invalid-session", "not-authenticated/invalid-credentials"];

const SECOND_FACTOR_REQUIRED: &str = "not-authorized/two-factor-authentication-required";

/// Who logs in. `Debug` shows no password.
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
    /// With name and password.
    pub fn new(username: impl Into<String>, password: impl Into<String>) -> Self {
        Self {
            username: username.into(),
            password: password.into().into(),
            one_time_password: None,
            partial_session: None,
        }
    }

    /// With a one-time password, for those who know that it will be asked for.
    pub fn one_time_password(mut self, password: impl Into<String>) -> Self {
        self.one_time_password = Some(password.into().into());
        self
    }

    /// Goes on where the service asked for a second factor.
    pub fn answer(mut self, challenge: &SecondFactor, one_time_password: impl Into<String>) -> Self {
        self.partial_session = Some(challenge.partial_session.clone());
        self.one_time_password(one_time_password)
    }
}

/// The service wants a second factor before it lets somebody in. `Debug` shows the methods only.
#[derive(Debug, Clone)]
pub struct SecondFactor {
    partial_session: SecretString,
    methods: Vec<String>,
}

impl SecondFactor {
    /// What a failed [`login`](FilesComStore::login) asks for; `None` if it failed for another reason.
    pub fn of(error: &Error) -> Option<Self> {
        let rejection = Rejection::of(error).filter(|_| error::is(error, SECOND_FACTOR_REQUIRED))?;
        let wire = wire::SecondFactor::deserialize(rejection.data()).ok()?;
        Some(Self { partial_session: wire.partial_session_id, methods: wire.two_factor_authentication_methods })
    }

    /// The ways that the account has, in the words of the service, such as `totp`, `sms`, `yubi`.
    pub fn methods(&self) -> &[String] {
        &self.methods
    }
}

/// Somebody who is logged in. Whoever has the id acts as them; `Debug` hides it.
///
/// It ends by [`logout`](FilesComStore::logout), and by itself as the site's settings say: then every
/// request is *unauthenticated*, and nothing here logs in again by itself.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LoginSession {
    /// The credential, for [`FilesComConfig::session_id`](crate::FilesComConfig::session_id).
    pub id: SecretString,
    /// Whether it may only read.
    pub read_only: bool,
}

impl FilesComStore {
    /// Logs in. The store itself stays who it is: see [`with_session`](Self::with_session).
    ///
    /// *Invalid input* for an empty password. *Unauthenticated* if name or password are wrong, if the account is locked or belongs to another
    /// region, or if a second factor is wanted: [`SecondFactor::of`] tells. *Rate limited* after too many
    /// attempts. A lost answer is not repeated, and may leave a session behind that ends by itself.
    ///
    /// ```no_run
    /// # async fn example(store: filestore_filescom::FilesComStore) -> filestore_core::Result<()> {
    /// use filestore_filescom::{Login, SecondFactor};
    ///
    /// let login = Login::new("ann", "correct horse");
    /// let session = match store.login(&login).await {
    ///     Ok(session) => session,
    ///     Err(error) => match SecondFactor::of(&error) {
    ///         Some(asked) => store.login(&login.answer(&asked, "123456")).await?,
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
        // With a credential the service rejects to make another.
        let request = self
            .api()
            .anonymous_request(Method::POST, "sessions", &SitePath::default(), Idempotency::NonIdempotent)
            .body(api::json(&body)?);
        let mut answer = self.api().http().send(request).await?;
        if !answer.status().is_success() {
            return Err(error::rejected(answer, Some(login.password.expose_secret())).await);
        }
        let session: wire::CreatedSession = api::read(&mut answer).await?;
        if session.id.expose_secret().trim().is_empty() {
            return Err(answer.unexpected("the id of a session"));
        }
        Ok(LoginSession { id: session.id, read_only: session.read_only })
    }

    /// Ends the session of this store. One that has ended already is no error.
    ///
    /// *Invalid input* if the store has an API key or nothing at all.
    pub async fn logout(&self) -> Result<()> {
        if !matches!(self.api().credential(), Some(Credential::Session(_))) {
            return Err(Error::invalid("this store is in no session, so there is none to end"));
        }
        let request = self.api().request(Method::DELETE, "sessions", &SitePath::default(), Idempotency::Idempotent)?;
        match self.api().remove(request).await {
            Err(error) if ENDED.iter().any(|ended| error::is(&error, ended)) => Ok(()),
            ended => ended,
        }
    }

    /// The same store in a session, over the same connections. *Config* if the id cannot be a header.
    pub fn with_session(&self, session: &LoginSession) -> Result<Self> {
        self.with_credential(Credential::Session(session.id.clone()))
    }

    /// The same store with another API key, over the same connections. *Config* if it cannot be a header.
    ///
    /// ```
    /// # use filestore_filescom::{FilesComConfig, FilesComStore};
    /// # fn example(store: FilesComStore) -> filestore_core::Result<()> {
    /// let theirs = store.with_api_key("abc123")?.with_workspace(Some(7));
    /// # Ok(())
    /// # }
    /// ```
    pub fn with_api_key(&self, api_key: impl Into<String>) -> Result<Self> {
        self.with_credential(Credential::ApiKey(api_key.into().into()))
    }
}
