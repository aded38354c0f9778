//! Authentication and authorization of requests: user ids, signatures and tokens.

use http::StatusCode;
use jiff::Timestamp;

use super::error::Rejection;
use super::grants::Right;
use super::keysets::Keyset;
use super::route::KeysetChannel;
use super::signature::SignatureInput;
use super::{Call, PubNub};

/// The maximum length of a user id in bytes, and of a channel name in characters.
const MAX_NAME: usize = 92;
/// The maximum difference between a signed request's `timestamp` and the clock, in seconds.
const MAX_CLOCK_SKEW: u64 = 60;

impl PubNub {
    /// Returns the keyset of a request that is allowed to use `right` on all of `channels`.
    ///
    /// The request must name its user. A signature must be valid. A token must grant the right if the
    /// keyset has Access Manager and the request is not signed.
    pub(super) async fn authorize(
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
        if user.is_empty() || user.len() > MAX_NAME {
            return Err(Rejection::access(StatusCode::BAD_REQUEST, "Invalid UUID"));
        }
        // The secret key grants every right.
        if !self.check_signature(&keyset, call, body)?
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

    /// Authorizes a request to the Files service, which the keyset must have enabled.
    pub(super) async fn authorize_files(
        &self,
        channel: &KeysetChannel,
        right: Right,
        call: &Call<'_>,
        body: &[u8],
    ) -> Result<Keyset, Rejection> {
        let channels = std::slice::from_ref(&channel.name);
        let keyset = self.authorize(&channel.subscribe_key, Some(right), channels, call, body).await?;
        if !keyset.files {
            return Err(Rejection::files_disabled());
        }
        if !is_channel(&channel.name) {
            return Err(Rejection::channel());
        }
        Ok(keyset)
    }

    /// Returns `true` if the request has a valid signature, and `false` if it has none.
    fn check_signature(&self, keyset: &Keyset, call: &Call<'_>, body: &[u8]) -> Result<bool, Rejection> {
        let Some(signature) = call.query.get("signature") else {
            return if self.require_signature {
                Err(Rejection::Signature("The signature is missing."))
            } else {
                Ok(false)
            };
        };
        // The timestamp may also match the real time: clients do not know that a test has moved the emulated clock.
        let timestamp = call.query.get("timestamp").and_then(|text| text.parse().ok());
        let is_near =
            |now: Timestamp| timestamp.is_some_and(|time: i64| time.abs_diff(now.as_second()) <= MAX_CLOCK_SKEW);
        if !is_near(call.now) && !is_near(Timestamp::now()) {
            return Err(Rejection::access(StatusCode::BAD_REQUEST, "Invalid Timestamp"));
        }
        let input = SignatureInput {
            method: &call.head.method,
            publish_key: &keyset.publish_key,
            path: call.head.uri.path(),
            query: &call.query,
            body,
        };
        if !input.verify(&keyset.secret_key, signature, self.strict_signature) {
            return Err(Rejection::Signature("Client and server produced different signatures for the same inputs."));
        }
        Ok(true)
    }
}

/// Returns `true` if `name` can be a channel. Official clients do not check names, so only names that cannot work
/// are rejected.
pub(super) fn is_channel(name: &str) -> bool {
    let forbidden = |character: char| character.is_control() || ",:*".contains(character);
    !name.is_empty() && name.chars().count() <= MAX_NAME && !name.contains(forbidden)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channel_names_that_work_are_accepted_even_if_the_documentation_forbids_them() {
        for name in ["room-1", "room 1/a", "größe #1?%+~", "a\\b.c", &"é".repeat(92)] {
            assert!(is_channel(name), "{name}");
        }
        for name in ["", "a,b", "a:b", "a*", "a\nb", &"é".repeat(93)] {
            assert!(!is_channel(name), "{name}");
        }
    }
}
