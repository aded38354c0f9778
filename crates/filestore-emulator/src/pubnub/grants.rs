//! Access Manager grants: tokens, and the rights that each of them gives on channels.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::{fmt, io};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::error::Rejection;
use crate::durable::{Damage, Records};

/// The key in [`Grant::channels`] for every channel.
const ANY_CHANNEL: &str = "*";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Right {
    Read,
    Write,
    Delete,
}

/// A token and the rights that it gives.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Grant {
    id: String,
    pub(super) token: String,
    pub(super) subscribe_key: String,
    pub(super) channels: BTreeMap<String, Vec<Right>>,
    /// The only user who may use the token; `None`: any user.
    pub(super) user: Option<String>,
    pub(super) expires: Timestamp,
    revoked: bool,
}

impl Grant {
    pub(super) fn new(
        subscribe_key: &str,
        channels: BTreeMap<String, Vec<Right>>,
        user: Option<String>,
        token: Option<String>,
        expires: Timestamp,
    ) -> Self {
        Grant {
            id: Uuid::new_v4().to_string(),
            // The service's tokens have this prefix; the rest is opaque to clients.
            token: token.unwrap_or_else(|| format!("qEF2AkF0{}", URL_SAFE_NO_PAD.encode(rand::random::<[u8; 48]>()))),
            subscribe_key: subscribe_key.to_owned(),
            channels,
            user,
            expires,
            revoked: false,
        }
    }

    fn permits(&self, right: Right, channel: &str) -> bool {
        [channel, ANY_CHANNEL].iter().filter_map(|channel| self.channels.get(*channel)).flatten().any(|r| *r == right)
    }
}

#[derive(Debug, Default)]
pub(super) struct Grants {
    by_token: HashMap<String, Grant>,
    records: Option<Records<Grant>>,
}

impl Grants {
    /// Loads the grants of a data directory.
    pub(super) fn load(folder: &Path, damage: &mut Damage) -> io::Result<Self> {
        let records = Records::open(folder.join("grants"))?;
        let by_token = records.load(damage)?.into_iter().map(|grant: Grant| (grant.token.clone(), grant)).collect();
        Ok(Grants { by_token, records: Some(records) })
    }

    pub(super) fn add(&mut self, mut grant: Grant) -> io::Result<()> {
        if let Some(previous) = self.by_token.get(&grant.token) {
            grant.id.clone_from(&previous.id);
        }
        if let Some(records) = &self.records {
            records.save(&grant.id, &grant)?;
        }
        self.by_token.insert(grant.token.clone(), grant);
        Ok(())
    }

    /// Revokes a token. Returns `false` if it does not exist.
    pub(super) fn revoke(&mut self, token: &str) -> io::Result<bool> {
        let Some(grant) = self.by_token.get(token).cloned() else {
            return Ok(false);
        };
        self.add(Grant { revoked: true, ..grant })?;
        Ok(true)
    }

    /// Checks that a token gives `user` the right on all of `channels`.
    pub(super) fn check(
        &self,
        token: Option<&str>,
        subscribe_key: &str,
        user: &str,
        right: Right,
        channels: &[String],
        now: Timestamp,
    ) -> Result<(), Rejection> {
        let grant = token.and_then(|token| self.by_token.get(token));
        let grant = grant.filter(|grant| grant.subscribe_key == subscribe_key);
        let Some(grant) = grant.filter(|grant| grant.user.as_deref().is_none_or(|grantee| grantee == user)) else {
            return Err(Rejection::Forbidden(channels.to_vec()));
        };
        if grant.revoked {
            return Err(Rejection::Revoked);
        }
        if now >= grant.expires {
            return Err(Rejection::access(StatusCode::FORBIDDEN, "Token is expired."));
        }
        let denied: Vec<_> = channels.iter().filter(|channel| !grant.permits(right, channel)).cloned().collect();
        if denied.is_empty() { Ok(()) } else { Err(Rejection::Forbidden(denied)) }
    }

    pub(super) fn clear(&mut self) -> io::Result<()> {
        for grant in self.by_token.values() {
            if let Some(records) = &self.records {
                records.remove(&grant.id)?;
            }
        }
        self.by_token.clear();
        Ok(())
    }
}

impl fmt::Debug for Grant {
    /// Leaves out the token, which is a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant").field("id", &self.id).finish_non_exhaustive()
    }
}
