//! What the control API has for PubNub alone: grants of Access Manager, and settings of keysets.

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

/// The longest life of a grant, in minutes.
const LONGEST_LIFE: u32 = 43_200;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewGrant {
    subscribe_key: String,
    /// `*` is every channel.
    channels: BTreeMap<String, Vec<Right>>,
    /// In minutes.
    #[serde(default = "an_hour")]
    ttl: u32,
    #[serde(default)]
    user_id: Option<String>,
    /// Chosen instead of made, as for the keys of older clients.
    #[serde(default)]
    token: Option<String>,
}

fn an_hour() -> u32 {
    60
}

#[derive(Serialize)]
struct Granted {
    token: String,
}

impl PubNub {
    /// `None` for a route that there is not.
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
        let wanted: NewGrant = match serde_json::from_str(body) {
            Ok(wanted) => wanted,
            Err(error) => return problem(StatusCode::BAD_REQUEST, error),
        };
        if self.keyset(&wanted.subscribe_key).is_none() {
            return problem(StatusCode::NOT_FOUND, "there is no such keyset");
        }
        if !(1..=LONGEST_LIFE).contains(&wanted.ttl) || wanted.token.as_deref() == Some("") {
            return problem(StatusCode::BAD_REQUEST, "`ttl` is from 1 to 43200 minutes, and `token` is not empty");
        }
        let expires = self.clock.now() + SignedDuration::from_mins(wanted.ttl.into());
        let grant = Grant::new(&wanted.subscribe_key, wanted.channels, wanted.user_id, wanted.token, expires);
        let token = grant.token.clone();
        match self.store.run(move |state| Ok(state.grants.add(grant)?)).await {
            Ok(()) => json(StatusCode::OK, &Granted { token }),
            Err(rejection) => failed(&rejection),
        }
    }

    async fn revoke(&self, token: &str) -> Response {
        let token = percent_decode_str(token).decode_utf8_lossy().into_owned();
        match self.store.run(move |state| Ok(state.grants.revoke(&token)?)).await {
            Ok(true) => empty(StatusCode::NO_CONTENT),
            Ok(false) => problem(StatusCode::NOT_FOUND, "there is no such token"),
            Err(rejection) => failed(&rejection),
        }
    }

    /// Changes what is given, and shows everything.
    fn settings(&self, subscribe_key: &str, settings: Settings) -> Response {
        self.with_keysets(|keysets| match keysets.find_mut(subscribe_key) {
            Some(keyset) => {
                keyset.set(&settings);
                json(StatusCode::OK, &keyset.settings())
            }
            None => problem(StatusCode::NOT_FOUND, "there is no such keyset"),
        })
    }
}

fn failed(rejection: &Rejection) -> Response {
    problem(StatusCode::INTERNAL_SERVER_ERROR, rejection)
}
