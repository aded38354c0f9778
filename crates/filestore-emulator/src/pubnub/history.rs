//! Message history of channels.

use std::sync::Arc;

use http::StatusCode;

use super::error::Rejection;
use super::grants::Right;
use super::messages::{Message, Span};
use super::query::Query;
use super::wire::{History, HistoryMessage, javascript};
use super::{Call, PubNub};
use crate::http::Response;

/// The maximum number of messages in a response for one channel.
const MAX_MESSAGES: usize = 100;
/// The maximum number of messages of each channel in a response for several channels, or with actions.
const MAX_MESSAGES_PER_CHANNEL: usize = 25;
/// The service's message type of file messages.
const FILE_MESSAGE_TYPE: u8 = 4;

impl PubNub {
    /// Returns messages of channels. The emulator has no message actions, so messages are the same with and without
    /// them.
    pub(super) async fn history(
        &self,
        subscribe_key: &str,
        channels: &[String],
        with_actions: bool,
        call: &Call<'_>,
    ) -> Result<Response, Rejection> {
        self.authorize(subscribe_key, Some(Right::Read), channels, call, &[]).await?;
        if channels.is_empty() || with_actions && channels.len() > 1 {
            return Err(Rejection::access(StatusCode::BAD_REQUEST, "Invalid channels"));
        }
        let max = if with_actions || channels.len() > 1 { MAX_MESSAGES_PER_CHANNEL } else { MAX_MESSAGES };
        let span = parse_span(&call.query, max)?;
        let (subscribe_key, names, now) = (subscribe_key.to_owned(), channels.to_vec(), call.now);
        let lookup = self.store.run(move |state| {
            let history_of = |channel: String| {
                let messages = state.messages.history(&subscribe_key, &channel, span, now);
                (channel, messages)
            };
            Ok(names.into_iter().map(history_of).collect::<Vec<_>>())
        });
        let histories = lookup.await?;
        let channels = histories.iter().filter(|(_, messages)| !messages.is_empty());
        let channels = channels.map(|(channel, messages)| {
            (channel.as_str(), messages.iter().map(|message| history_message(message, &call.query)).collect())
        });
        let channels = channels.collect();
        Ok(javascript(&History { status: 200, channels, error_message: "", error: false }))
    }
}

fn parse_span(query: &Query, limit: usize) -> Result<Span, Rejection> {
    let number = |name: &str, default: u64| match query.get(name).map(str::parse) {
        None => Ok(default),
        Some(number) => number.map_err(|_| Rejection::access(StatusCode::BAD_REQUEST, "Invalid Arguments")),
    };
    let max = usize::try_from(number("max", limit as u64)?).unwrap_or(limit);
    Ok(Span { start: number("start", u64::MAX)?, end: number("end", 0)?, max: max.clamp(1, limit) })
}

fn history_message<'m>(message: &'m Arc<Message>, query: &Query) -> HistoryMessage<'m> {
    HistoryMessage {
        message: &message.payload,
        timetoken: message.timetoken.to_string(),
        message_type: query.is_true("include_message_type").then_some(message.file.then_some(FILE_MESSAGE_TYPE)),
        uuid: query.is_true("include_uuid").then_some(message.user.as_str()),
        meta: message.meta.as_deref().filter(|_| query.is_true("include_meta")),
        custom_message_type: message.custom_type.as_deref().filter(|_| query.is_true("include_custom_message_type")),
    }
}
