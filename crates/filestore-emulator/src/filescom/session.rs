//! Logins, with a second factor for those who have one.

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

/// How long a login may wait for its second factor.
const PARTIAL_LIFE: SignedDuration = SignedDuration::from_mins(10);
/// So many wrong logins in a row lock a user out, for so long.
const WRONG_LOGINS: u32 = 10;
const LOCKOUT: SignedDuration = SignedDuration::from_mins(10);

impl FilesCom {
    pub(super) async fn login(&self, call: Call<'_>) -> Result<Response, Rejection> {
        if call.head.headers.contains_key(API_KEY) {
            return Err(Rejection::LoginWithKey);
        }
        let (otp, partial) = (call.params.text("otp")?, call.params.text("partial_session_id")?);
        let user = match partial {
            Some(partial) => {
                let user = self.half_logged_in(partial, call.now).await?;
                self.check_lock(&user.name, call.now)?;
                user
            }
            None => {
                let name = call.params.text("username")?.ok_or(Rejection::Required("username"))?;
                let password = call.params.text("password")?.ok_or(Rejection::Required("password"))?;
                self.with_password(&name, &password, call.now)?
            }
        };
        match (&user.otp, otp) {
            (Some(_), None) => {
                let session = self.begin_session(&user, PARTIAL_LIFE, true, call.now).await?;
                return Err(Rejection::TwoFactorRequired { partial_session_id: session.id });
            }
            (Some(right), Some(given)) if *right != given => {
                self.count_wrong_login(&user.name, call.now);
                return Err(Rejection::WrongOtp);
            }
            _ => {}
        }
        self.wrong_logins().remove(&user.name);
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

    fn with_password(&self, name: &str, password: &str, now: Timestamp) -> Result<User, Rejection> {
        let user = self.users.named(name).ok_or(Rejection::WrongLogin)?;
        self.check_lock(name, now)?;
        if user.password.as_deref() != Some(password) {
            self.count_wrong_login(name, now);
            return Err(Rejection::WrongLogin);
        }
        Ok(user.clone())
    }

    fn check_lock(&self, name: &str, now: Timestamp) -> Result<(), Rejection> {
        let locked = self
            .wrong_logins()
            .get(name)
            .is_some_and(|(wrong, last)| *wrong >= WRONG_LOGINS && now.duration_since(*last) < LOCKOUT);
        if locked { Err(Rejection::LockedOut) } else { Ok(()) }
    }

    fn count_wrong_login(&self, name: &str, now: Timestamp) {
        let mut wrong_logins = self.wrong_logins();
        let (wrong, last) = wrong_logins.entry(name.to_owned()).or_insert((0, now));
        if now.duration_since(*last) >= LOCKOUT {
            *wrong = 0;
        }
        (*wrong, *last) = (*wrong + 1, now);
    }

    async fn half_logged_in(&self, id: String, now: Timestamp) -> Result<User, Rejection> {
        let name = self
            .store
            .run(move |state| {
                let session = state.sessions.get(&id).filter(|session| session.partial && now < session.expires);
                Ok::<_, Rejection>(session.map(|session| session.user.clone()))
            })
            .await?;
        name.and_then(|name| self.users.named(&name)).cloned().ok_or(Rejection::TwoFactorError)
    }

    async fn begin_session(
        &self,
        user: &User,
        life: SignedDuration,
        partial: bool,
        now: Timestamp,
    ) -> Result<Session, Rejection> {
        let session = Session {
            id: hex(&rand::rng().random::<[u8; 20]>()),
            user: user.name.clone(),
            expires: now.checked_add(life).unwrap_or(Timestamp::MAX),
            partial,
        };
        let kept = session.clone();
        self.store.run(move |state| Ok::<_, Rejection>(state.commit(vec![Change::Session(kept)])?)).await?;
        Ok(session)
    }
}

impl State {
    pub(super) fn user_of_session(&self, id: &str, now: Timestamp) -> Option<String> {
        let session = self.sessions.get(id).filter(|session| !session.partial && now < session.expires)?;
        Some(session.user.clone())
    }

    pub(super) fn forget_sessions(&mut self, now: Timestamp) -> std::io::Result<()> {
        let expired = self.sessions.values().filter(|session| now >= session.expires);
        let gone: Vec<_> = expired.map(|session| Change::SessionGone(session.id.clone())).collect();
        if gone.is_empty() { Ok(()) } else { self.commit(gone) }
    }
}
