//! The PubNub part of the control API: Access Manager grants and keyset settings.

use std::collections::BTreeMap;

use http::{Method, StatusCode};
use jiff::SignedDuration;
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};

use super::PubNub;
use super::error::Rejection;
use super::grants::{Grant, Right};
use super::keysets::Settings;
use crate::http::{Response, empty, json, problem};

/// The maximum lifetime of a grant, in minutes.
const MAX_TTL: u32 = 43_200;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewGrant {
    subscribe_key: String,
    /// The rights on each channel. `*` is every channel.
    channels: BTreeMap<String, Vec<Right>>,
    /// The lifetime, in minutes.
    #[serde(default = "default_ttl")]
    ttl: u32,
    #[serde(default)]
    user_id: Option<String>,
    /// The token to use instead of a generated one, for example an authorization key of an older client.
    #[serde(default)]
    token: Option<String>,
}

fn default_ttl() -> u32 {
    60
}

#[derive(Serialize)]
struct Granted {
    token: String,
}

impl PubNub {
    /// Handles a request to the control API, or returns `None` if the route does not exist.
    pub(crate) async fn control(&self, method: &Method, path: &str, body: &str) -> Option<Response> {
        let path = path.strip_prefix("/_emulator/pubnub/")?;
        Some(match (method, path.split_once('/').unwrap_or((path, ""))) {
            (&Method::POST, ("grants", "")) => self.grant(body).await,
            (&Method::DELETE, ("grants", token)) => self.revoke(token).await,
            (&Method::GET, ("keysets", subscribe_key)) => self.settings(subscribe_key, Settings::default()),
            (&Method::PATCH, ("keysets", subscribe_key)) => match serde_json::from_str(body) {
                Ok(settings) => self.settings(subscribe_key, settings),
                Err(error) => problem(StatusCode::BAD_REQUEST, error),
            },
            _ => return None,
        })
    }

    async fn grant(&self, body: &str) -> Response {
        let new: NewGrant = match serde_json::from_str(body) {
            Ok(new) => new,
            Err(error) => return problem(StatusCode::BAD_REQUEST, error),
        };
        if self.keyset(&new.subscribe_key).is_none() {
            return no_such_keyset(&new.subscribe_key);
        }
        if !(1..=MAX_TTL).contains(&new.ttl) || new.token.as_deref() == Some("") {
            return problem(
                StatusCode::BAD_REQUEST,
                "`ttl` must be from 1 to 43200 minutes, and `token` must not be empty",
            );
        }
        let expires = self.clock.now() + SignedDuration::from_mins(new.ttl.into());
        let grant = Grant::new(&new.subscribe_key, new.channels, new.user_id, new.token, expires);
        let token = grant.token.clone();
        match self.store.run(move |state| Ok(state.grants.add(grant)?)).await {
            Ok(()) => json(StatusCode::OK, &Granted { token }),
            Err(rejection) => internal_error(&rejection),
        }
    }

    async fn revoke(&self, token: &str) -> Response {
        let token = percent_decode_str(token).decode_utf8_lossy().into_owned();
        match self.store.run(move |state| Ok(state.grants.revoke(&token)?)).await {
            Ok(true) => empty(StatusCode::NO_CONTENT),
            Ok(false) => problem(StatusCode::NOT_FOUND, "no grant has this token"),
            Err(rejection) => internal_error(&rejection),
        }
    }

    /// Changes the settings that are present in `settings`, and returns all of them.
    fn settings(&self, subscribe_key: &str, settings: Settings) -> Response {
        self.with_keysets(|keysets| match keysets.find_mut(subscribe_key) {
            Some(keyset) => {
                keyset.set(&settings);
                json(StatusCode::OK, &keyset.settings())
            }
            None => no_such_keyset(subscribe_key),
        })
    }
}

fn no_such_keyset(subscribe_key: &str) -> Response {
    problem(StatusCode::NOT_FOUND, format!("no keyset has the subscribe key {subscribe_key:?}"))
}

fn internal_error(rejection: &Rejection) -> Response {
    problem(StatusCode::INTERNAL_SERVER_ERROR, rejection)
}
