//! Login sessions: login with a password and an optional second factor, and logout.

use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use rand::RngExt;

use super::access::{API_KEY, SESSION};
use super::error::Rejection;
use super::record::Session;
use super::store::{Change, State};
use super::users::User;
use super::wire::SessionCreated;
use super::{Call, FilesCom, access};
use crate::hex::hex;
use crate::http::{Response, empty, json};

/// The lifetime of a session that waits for its second factor.
const PARTIAL_LIFETIME: SignedDuration = SignedDuration::from_mins(10);
/// The number of failed logins in a row that lock a user out.
const MAX_FAILED_LOGINS: u32 = 10;
/// The time that a user is locked out, from the last failed login.
const LOCKOUT: SignedDuration = SignedDuration::from_mins(10);

impl FilesCom {
    pub(super) async fn login(&self, call: Call<'_>) -> Result<Response, Rejection> {
        if call.head.headers.contains_key(API_KEY) {
            return Err(Rejection::LoginWithKey);
        }
        let (otp, partial) = (call.params.text("otp")?, call.params.text("partial_session_id")?);
        let user = match partial {
            Some(partial) => {
                let user = self.partially_logged_in_user(partial, call.now).await?;
                self.check_lockout(&user.name, call.now)?;
                user
            }
            None => {
                let name = call.params.text("username")?.ok_or(Rejection::Required("username"))?;
                let password = call.params.text("password")?.ok_or(Rejection::Required("password"))?;
                self.check_password(&name, &password, call.now)?
            }
        };
        match (&user.otp, otp) {
            (Some(_), None) => {
                let session = self.begin_session(&user, PARTIAL_LIFETIME, true, call.now).await?;
                return Err(Rejection::TwoFactorRequired { partial_session_id: session.id });
            }
            (Some(expected), Some(otp)) if *expected != otp => {
                self.count_failed_login(&user.name, call.now);
                return Err(Rejection::WrongOtp);
            }
            _ => {}
        }
        self.failed_logins().remove(&user.name);
        let timeout = self.settings().await?.session_timeout;
        let session = self.begin_session(&user, timeout, false, call.now).await?;
        let created = SessionCreated {
            id: session.id,
            language: "en",
            read_only: !user.permissions.contains(['w', 'd']),
            sftp_insecure_ciphers: false,
        };
        Ok(json(StatusCode::CREATED, &created))
    }

    pub(super) async fn logout(&self, call: Call<'_>) -> Result<Response, Rejection> {
        let Some(id) = access::text(&call.head.headers, SESSION) else {
            let with_key = call.head.headers.contains_key(API_KEY);
            return Err(if with_key { Rejection::KeySession } else { Rejection::AuthenticationRequired });
        };
        let now = call.now;
        self.store
            .run(move |state| {
                state.user_of_session(&id, now).ok_or(Rejection::InvalidCredentials)?;
                Ok::<_, Rejection>(state.commit(vec![Change::SessionGone(id)])?)
            })
            .await?;
        Ok(empty(StatusCode::NO_CONTENT))
    }

    fn check_password(&self, name: &str, password: &str, now: Timestamp) -> Result<User, Rejection> {
        let user = self.users.by_name(name).ok_or(Rejection::WrongLogin)?;
        self.check_lockout(name, now)?;
        if user.password.as_deref() != Some(password) {
            self.count_failed_login(name, now);
            return Err(Rejection::WrongLogin);
        }
        Ok(user.clone())
    }

    fn check_lockout(&self, name: &str, now: Timestamp) -> Result<(), Rejection> {
        let locked = self
            .failed_logins()
            .get(name)
            .is_some_and(|(failed, last)| *failed >= MAX_FAILED_LOGINS && now.duration_since(*last) < LOCKOUT);
        if locked { Err(Rejection::LockedOut) } else { Ok(()) }
    }

    fn count_failed_login(&self, name: &str, now: Timestamp) {
        let mut failed_logins = self.failed_logins();
        let (failed, last) = failed_logins.entry(name.to_owned()).or_insert((0, now));
        if now.duration_since(*last) >= LOCKOUT {
            *failed = 0;
        }
        (*failed, *last) = (*failed + 1, now);
    }

    /// Returns the user of a session that waits for its second factor.
    async fn partially_logged_in_user(&self, id: String, now: Timestamp) -> Result<User, Rejection> {
        let name = self
            .store
            .run(move |state| {
                let session = state.sessions.get(&id).filter(|session| session.partial && now < session.expires);
                Ok::<_, Rejection>(session.map(|session| session.user.clone()))
            })
            .await?;
        name.and_then(|name| self.users.by_name(&name)).cloned().ok_or(Rejection::TwoFactorError)
    }

    async fn begin_session(
        &self,
        user: &User,
        lifetime: SignedDuration,
        partial: bool,
        now: Timestamp,
    ) -> Result<Session, Rejection> {
        let session = Session {
            id: hex(&rand::rng().random::<[u8; 20]>()),
            user: user.name.clone(),
            expires: now.checked_add(lifetime).unwrap_or(Timestamp::MAX),
            partial,
        };
        let stored = session.clone();
        self.store.run(move |state| Ok::<_, Rejection>(state.commit(vec![Change::Session(stored)])?)).await?;
        Ok(session)
    }
}

impl State {
    /// Returns the user of a complete, unexpired session.
    pub(super) fn user_of_session(&self, id: &str, now: Timestamp) -> Option<String> {
        let session = self.sessions.get(id).filter(|session| !session.partial && now < session.expires)?;
        Some(session.user.clone())
    }

    pub(super) fn remove_expired_sessions(&mut self, now: Timestamp) -> std::io::Result<()> {
        let expired = self.sessions.values().filter(|session| now >= session.expires);
        let changes: Vec<_> = expired.map(|session| Change::SessionGone(session.id.clone())).collect();
        if changes.is_empty() { Ok(()) } else { self.commit(changes) }
    }
}
