//! Who asks, and whether they may.

use http::StatusCode;
use jiff::Timestamp;

use super::error::Rejection;
use super::grants::Right;
use super::keysets::Keyset;
use super::route::ChannelOf;
use super::signature::Signed;
use super::{Call, PubNub};

/// The longest user id, in bytes, and the longest channel name, in characters.
const LONGEST_NAME: usize = 92;
/// How far a signed request's clock may be off, in seconds.
const LENIENCE: u64 = 60;

impl PubNub {
    /// The keyset of a request that may do what it asks for on all of some channels: its user is
    /// named, its signature is right if there is one, and a token permits it where one is needed.
    pub(super) async fn admit(
        &self,
        subscribe_key: &str,
        right: Option<Right>,
        channels: &[String],
        call: &Call<'_>,
        body: &[u8],
    ) -> Result<Keyset, Rejection> {
        let keyset = self.keyset(subscribe_key);
        let keyset = keyset.ok_or_else(|| Rejection::access(StatusCode::BAD_REQUEST, "Invalid Subscribe Key"))?;
        let user = call.query.get("uuid").unwrap_or_default();
        if user.is_empty() || user.len() > LONGEST_NAME {
            return Err(Rejection::access(StatusCode::BAD_REQUEST, "Invalid UUID"));
        }
        // Whoever has the secret key may do everything.
        if !self.is_signed(&keyset, call, body)?
            && keyset.access_manager
            && let Some(right) = right
        {
            let (subscribe_key, user) = (subscribe_key.to_owned(), user.to_owned());
            let (channels, now) = (channels.to_vec(), call.now);
            let token = call.query.get("auth").map(str::to_owned);
            let check = self
                .store
                .run(move |state| state.grants.check(token.as_deref(), &subscribe_key, &user, right, &channels, now));
            check.await?;
        }
        Ok(keyset)
    }

    /// As [`PubNub::admit`], for what the Files service does.
    pub(super) async fn admit_to_files(
        &self,
        of: &ChannelOf,
        right: Right,
        call: &Call<'_>,
        body: &[u8],
    ) -> Result<Keyset, Rejection> {
        let channels = std::slice::from_ref(&of.channel);
        let keyset = self.admit(&of.subscribe_key, Some(right), channels, call, body).await?;
        if !keyset.files {
            return Err(Rejection::files_disabled());
        }
        if !is_channel(&of.channel) {
            return Err(Rejection::channel());
        }
        Ok(keyset)
    }

    /// Whether there is a signature. One that is wrong is rejected.
    fn is_signed(&self, keyset: &Keyset, call: &Call<'_>, body: &[u8]) -> Result<bool, Rejection> {
        let Some(signature) = call.query.get("signature") else {
            return if self.require_signature {
                Err(Rejection::Signature("The signature is missing."))
            } else {
                Ok(false)
            };
        };
        // Real clients know real time only, whatever a test has done to the emulated clock.
        let timestamp = call.query.get("timestamp").and_then(|text| text.parse().ok());
        let is_near = |now: Timestamp| timestamp.is_some_and(|time: i64| time.abs_diff(now.as_second()) <= LENIENCE);
        if !is_near(call.now) && !is_near(Timestamp::now()) {
            return Err(Rejection::access(StatusCode::BAD_REQUEST, "Invalid Timestamp"));
        }
        let signed = Signed {
            method: &call.head.method,
            publish_key: &keyset.publish_key,
            path: call.head.uri.path(),
            query: &call.query,
            body,
        };
        if !signed.is_by(&keyset.secret_key, signature, self.strict_signature) {
            return Err(Rejection::Signature("Client and server produced different signatures for the same inputs."));
        }
        Ok(true)
    }
}

/// Official clients send anything, so only what cannot work is rejected.
pub(super) fn is_channel(name: &str) -> bool {
    let forbidden = |character: char| character.is_control() || ",:*".contains(character);
    !name.is_empty() && name.chars().count() <= LONGEST_NAME && !name.contains(forbidden)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_that_work_are_accepted_though_documented_otherwise() {
        for name in ["room-1", "room 1/a", "größe #1?%+~", "a\\b.c", &"é".repeat(92)] {
            assert!(is_channel(name), "{name}");
        }
        for name in ["", "a,b", "a:b", "a*", "a\nb", &"é".repeat(93)] {
            assert!(!is_channel(name), "{name}");
        }
    }
}
