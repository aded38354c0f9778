//! Subscribe requests, which wait for the next messages of channels.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::error::Rejection;
use super::grants::Right;
use super::messages::Message;
use super::wire::{Cursor, Event, Events, Presence, javascript};
use super::{Call, PubNub};
use crate::http::Response;

/// The maximum time that a request waits, in real time. Clients give up after 310 seconds.
const MAX_WAIT: Duration = Duration::from_secs(280);
/// The region in every cursor.
const REGION: u32 = 12;
/// The service's message type of file messages.
const FILE_MESSAGE_TYPE: u8 = 4;

impl PubNub {
    /// Responds to a subscriber's first request with a cursor at once. Later requests wait for messages after their
    /// cursor.
    pub(super) async fn subscribe(
        &self,
        subscribe_key: &str,
        channels: &[String],
        call: &Call<'_>,
    ) -> Result<Response, Rejection> {
        self.authorize(subscribe_key, Some(Right::Read), channels, call, &[]).await?;
        let timetoken = call.query.get("tt").unwrap_or("0");
        let cursor: u64 =
            timetoken.parse().map_err(|_| Rejection::access(http::StatusCode::BAD_REQUEST, "Invalid timetoken"))?;
        if cursor == 0 {
            let now = call.now;
            let cursor = self.store.run(move |state| Ok(state.messages.next_timetoken(now))).await?;
            return Ok(events(cursor, &[]));
        }
        let messages = self.wait(subscribe_key, channels, cursor).await?;
        let cursor = messages.last().map_or(cursor, |message| message.timetoken);
        Ok(events(cursor, &messages))
    }

    /// Waits for messages after a cursor. Returns an empty list after [`MAX_WAIT`].
    async fn wait(
        &self,
        subscribe_key: &str,
        channels: &[String],
        cursor: u64,
    ) -> Result<Vec<Arc<Message>>, Rejection> {
        let deadline = Instant::now() + MAX_WAIT;
        let mut published = self.store.run(|state| Ok(state.messages.watch_published())).await?;
        loop {
            published.mark_unchanged();
            let (subscribe_key, channels) = (subscribe_key.to_owned(), channels.to_vec());
            let lookup = self.store.run(move |state| Ok(state.messages.since(&subscribe_key, &channels, cursor)));
            let messages = lookup.await?;
            if !messages.is_empty() || timeout_at(deadline, published.changed()).await.is_err() {
                return Ok(messages);
            }
        }
    }

    /// Accepts a heartbeat or leave. The emulator has no presence, but clients expect a response.
    pub(super) async fn presence(
        &self,
        subscribe_key: &str,
        channels: &[String],
        leave: bool,
        call: &Call<'_>,
    ) -> Result<Response, Rejection> {
        self.authorize(subscribe_key, Some(Right::Read), channels, call, &[]).await?;
        let action = leave.then_some("leave");
        Ok(javascript(&Presence { status: 200, message: "OK", action, service: "Presence" }))
    }
}

fn events(cursor: u64, messages: &[Arc<Message>]) -> Response {
    let at = |timetoken: u64| Cursor { t: timetoken.to_string(), r: REGION };
    let events = messages.iter().map(|message| Event {
        a: "0",
        f: 0,
        e: message.file.then_some(FILE_MESSAGE_TYPE),
        i: &message.user,
        p: at(message.timetoken),
        k: &message.subscribe_key,
        c: &message.channel,
        d: &message.payload,
        u: message.meta.as_deref(),
        cmt: message.custom_type.as_deref(),
    });
    javascript(&Events { t: at(cursor), m: events.collect() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::durable::Damage;
    use crate::options::Options;
    use crate::pubnub::Keysets;
    use crate::storage::ServiceContext;

    #[tokio::test(start_paused = true)]
    async fn a_subscribe_request_without_messages_ends_after_280_seconds() {
        let folder = tempfile::tempdir().unwrap();
        let context = ServiceContext {
            folder: folder.path().to_owned(),
            kept: false,
            clock: Clock::in_memory(),
            base: "http://127.0.0.1:7070".to_owned(),
        };
        let service = PubNub::open(context, Keysets::fixed(), &Options::default(), &mut Damage::default()).unwrap();
        let start = Instant::now();
        let messages = service.wait("sub", &["room-1".to_owned()], 1).await.unwrap();
        assert!(messages.is_empty());
        assert_eq!(start.elapsed().as_secs(), 280);
    }
}
