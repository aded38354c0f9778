//! The messages that a channel remembers.

use std::sync::Arc;

use http::StatusCode;

use super::error::Rejection;
use super::grants::Right;
use super::messages::{Message, Span};
use super::query::Query;
use super::wire::{History, Remembered, javascript};
use super::{Call, PubNub};
use crate::http::Response;

/// The most messages of one channel, and of each of several or with actions.
const LONGEST: usize = 100;
const LONGEST_OF_SEVERAL: usize = 25;
/// What the service calls the message that announces a file.
const FILE: u8 = 4;

impl PubNub {
    /// Nobody can act on messages here, so that they are the same with and without actions.
    pub(super) async fn history(
        &self,
        subscribe_key: &str,
        channels: &[String],
        with_actions: bool,
        call: &Call<'_>,
    ) -> Result<Response, Rejection> {
        self.admit(subscribe_key, Some(Right::Read), channels, call, &[]).await?;
        if channels.is_empty() || with_actions && channels.len() > 1 {
            return Err(Rejection::access(StatusCode::BAD_REQUEST, "Invalid channels"));
        }
        let most = if with_actions || channels.len() > 1 { LONGEST_OF_SEVERAL } else { LONGEST };
        let span = span(&call.query, most)?;
        let (subscribe_key, wanted, now) = (subscribe_key.to_owned(), channels.to_vec(), call.now);
        let look = self.store.run(move |state| {
            let of = |channel: String| {
                let messages = state.messages.history(&subscribe_key, &channel, span, now);
                (channel, messages)
            };
            Ok(wanted.into_iter().map(of).collect::<Vec<_>>())
        });
        let found = look.await?;
        let channels = found.iter().filter(|(_, messages)| !messages.is_empty());
        let channels = channels.map(|(channel, messages)| {
            (channel.as_str(), messages.iter().map(|message| remembered(message, &call.query)).collect())
        });
        let channels = channels.collect();
        Ok(javascript(&History { status: 200, channels, error_message: "", error: false }))
    }
}

fn span(query: &Query, most: usize) -> Result<Span, Rejection> {
    let number = |name: &str, absent: u64| match query.get(name).map(str::parse) {
        None => Ok(absent),
        Some(number) => number.map_err(|_| Rejection::access(StatusCode::BAD_REQUEST, "Invalid Arguments")),
    };
    let max = usize::try_from(number("max", most as u64)?).unwrap_or(most);
    Ok(Span { start: number("start", u64::MAX)?, end: number("end", 0)?, max: max.clamp(1, most) })
}

fn remembered<'m>(message: &'m Arc<Message>, query: &Query) -> Remembered<'m> {
    Remembered {
        message: &message.payload,
        timetoken: message.timetoken.to_string(),
        message_type: query.is_true("include_message_type").then_some(message.file.then_some(FILE)),
        uuid: query.is_true("include_uuid").then_some(message.user.as_str()),
        meta: message.meta.as_deref().filter(|_| query.is_true("include_meta")),
        custom_message_type: message.custom_type.as_deref().filter(|_| query.is_true("include_custom_message_type")),
    }
}
