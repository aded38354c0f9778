//! The caller of a request, from the forms of `Authorization` that clients of file.io send.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use jiff::Timestamp;

use super::error::Rejection;
use super::file::{Owner, StoredFile};
use crate::credentials::{Account, FileioUsers};

/// The caller of a request.
#[derive(Clone, Debug)]
pub(super) enum Caller {
    /// The request has no credential.
    Anonymous,
    Account(Account),
    /// A credential that is no account's API key: the token of an anonymous upload, or invalid.
    Token(String),
}

impl Caller {
    pub(super) fn of(headers: &HeaderMap, users: &FileioUsers) -> Result<Self, Rejection> {
        let Some(value) = headers.get(AUTHORIZATION) else {
            return Ok(Caller::Anonymous);
        };
        let text = value.to_str().map_err(|_| Rejection::Unauthorized)?;
        let key = credential(text).ok_or(Rejection::Unauthorized)?;
        Ok(match users.account(&key) {
            Some(account) => Caller::Account(account.clone()),
            None => Caller::Token(key),
        })
    }

    /// Returns the account, for an operation that needs one.
    pub(super) fn account(&self) -> Result<&Account, Rejection> {
        match self {
            Caller::Account(account) => Ok(account),
            Caller::Anonymous | Caller::Token(_) => Err(Rejection::Unauthorized),
        }
    }

    /// Checks that the caller may change or delete the file.
    pub(super) fn may_change(&self, file: &StoredFile, now: Timestamp) -> Result<(), Rejection> {
        match self {
            Caller::Account(account) if file.owner == Owner::Account(account.name.clone()) => Ok(()),
            Caller::Account(_) => Err(Rejection::Forbidden),
            Caller::Token(token) if file.owner.has_token(token, now) => Ok(()),
            Caller::Token(_) | Caller::Anonymous => Err(Rejection::Unauthorized),
        }
    }

    /// Replaces *not found* by *unauthorized* for an invalid key, which must not show which files exist.
    pub(super) fn conceal_not_found(&self, rejection: Rejection) -> Rejection {
        match (self, rejection) {
            (Caller::Token(_), Rejection::NotFound) => Rejection::Unauthorized,
            (_, rejection) => rejection,
        }
    }

    /// Checks that the caller may download the file. Downloads need no key, but an invalid key is rejected.
    pub(super) fn may_read(&self, file: &StoredFile, now: Timestamp) -> Result<(), Rejection> {
        match self {
            Caller::Token(token) if !file.owner.has_token(token, now) => Err(Rejection::Unauthorized),
            _ => Ok(()),
        }
    }
}

/// Returns the key in the value of `Authorization`.
///
/// The forms are `Bearer KEY`, `KEY` alone, Basic with the key as user, and Basic with the user `Authorization` and the
/// key as password, which one widely used script sends.
fn credential(text: &str) -> Option<String> {
    let Some((scheme, rest)) = text.split_once(' ') else {
        return Some(text.to_owned());
    };
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.trim().to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(rest.trim()).ok()?).ok()?;
    match decoded.split_once(':')? {
        ("Authorization", key) | (key, "") => Some(key.to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_accepted_in_four_forms() {
        for text in [
            "Bearer KEY".to_owned(),
            "bearer KEY".to_owned(),
            "KEY".to_owned(),
            format!("Basic {}", STANDARD.encode("KEY:")),
            format!("Basic {}", STANDARD.encode("Authorization:KEY")),
        ] {
            assert_eq!(credential(&text).as_deref(), Some("KEY"), "{text}");
        }
    }

    #[test]
    fn other_schemes_and_passwords_are_rejected() {
        for text in [
            "Digest KEY".to_owned(),
            format!("Basic {}", STANDARD.encode("KEY:password")),
            format!("Basic {}", STANDARD.encode("KEY")),
            "Basic KEY?".to_owned(),
        ] {
            assert_eq!(credential(&text), None, "{text}");
        }
    }
}
