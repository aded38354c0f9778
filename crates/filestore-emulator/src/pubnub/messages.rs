//! Messages of channels: the history, and the queue that subscribers read.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::watch;

use crate::durable::{Damage, Records};

/// The number of messages of a channel that subscribers can still receive, as the service documents it.
const QUEUE_LENGTH: usize = 100;

/// A published message.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Message {
    pub(super) timetoken: u64,
    pub(super) subscribe_key: String,
    pub(super) channel: String,
    /// `true` for the message that announces a file.
    pub(super) file: bool,
    pub(super) user: String,
    /// The JSON text as published.
    pub(super) payload: Box<RawValue>,
    pub(super) meta: Option<Box<RawValue>>,
    pub(super) custom_type: Option<String>,
    /// The time at which history drops the message; `None`: never.
    pub(super) expires: Option<Timestamp>,
}

#[derive(Debug, Default)]
pub(super) struct Messages {
    channels: HashMap<(String, String), Channel>,
    /// The last timetoken.
    last: u64,
    records: Option<Records<Message>>,
    /// Wakes waiting subscribers after each publication.
    published: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Channel {
    history: BTreeMap<u64, Arc<Message>>,
    queue: VecDeque<Arc<Message>>,
}

/// A range of a channel's history.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    /// Messages before this timetoken, exclusive.
    pub(super) start: u64,
    /// The oldest timetoken, inclusive.
    pub(super) end: u64,
    /// The maximum number of messages. The newest ones are returned.
    pub(super) max: usize,
}

impl Messages {
    /// Loads the messages of a data directory.
    pub(super) fn load(folder: &Path, damage: &mut Damage) -> io::Result<Self> {
        let records = Records::open(folder.join("messages"))?;
        let mut stored: Vec<Message> = records.load(damage)?;
        stored.sort_unstable_by_key(|message| message.timetoken);
        let mut messages = Messages { records: Some(records), ..Messages::default() };
        for message in stored {
            messages.last = message.timetoken;
            messages.add(message, true);
        }
        Ok(messages)
    }

    /// Returns a timetoken after those of all existing messages and before those of all later ones.
    pub(super) fn next_timetoken(&mut self, now: Timestamp) -> u64 {
        self.last = timetoken(now).max(self.last + 1);
        self.last
    }

    /// Publishes the message that the closure creates for a new timetoken. Returns the timetoken.
    pub(super) fn publish(
        &mut self,
        stored: bool,
        now: Timestamp,
        message: impl FnOnce(u64) -> Message,
    ) -> io::Result<u64> {
        let timetoken = self.next_timetoken(now);
        let message = message(timetoken);
        if let Some(records) = self.records.as_ref().filter(|_| stored) {
            records.save(&timetoken.to_string(), &message)?;
        }
        self.add(message, stored);
        self.published.send_replace(());
        Ok(timetoken)
    }

    /// Returns a receiver that changes after each publication.
    pub(super) fn watch_published(&self) -> watch::Receiver<()> {
        self.published.subscribe()
    }

    /// Returns the messages of `channels` after a timetoken, oldest first.
    pub(super) fn since(&self, subscribe_key: &str, channels: &[String], timetoken: u64) -> Vec<Arc<Message>> {
        let queues = channels.iter().filter_map(|channel| self.channel(subscribe_key, channel));
        let waiting = queues.flat_map(|channel| &channel.queue).filter(|message| message.timetoken > timetoken);
        let mut messages: Vec<_> = waiting.map(Arc::clone).collect();
        messages.sort_unstable_by_key(|message| message.timetoken);
        // `channels` may have duplicates.
        messages.dedup_by_key(|message| message.timetoken);
        messages.truncate(QUEUE_LENGTH);
        messages
    }

    /// Returns the newest messages of a range of history, oldest first.
    pub(super) fn history(&self, subscribe_key: &str, channel: &str, span: Span, now: Timestamp) -> Vec<Arc<Message>> {
        let Some(channel) = self.channel(subscribe_key, channel).filter(|_| span.end < span.start) else {
            return Vec::new();
        };
        let in_range = channel.history.range(span.end..span.start).rev().map(|(_, message)| message);
        let mut messages: Vec<_> =
            in_range.filter(|message| !message.is_expired(now)).take(span.max).map(Arc::clone).collect();
        messages.reverse();
        messages
    }

    pub(super) fn sweep(&mut self, now: Timestamp) -> io::Result<()> {
        self.remove_all(|message| message.is_expired(now))
    }

    pub(super) fn clear(&mut self) -> io::Result<()> {
        self.remove_all(|_| true)?;
        self.channels.clear();
        Ok(())
    }

    fn remove_all(&mut self, select: impl Fn(&Message) -> bool) -> io::Result<()> {
        for channel in self.channels.values_mut() {
            let selected: Vec<u64> =
                channel.history.values().filter(|message| select(message)).map(|message| message.timetoken).collect();
            for timetoken in selected {
                if let Some(records) = &self.records {
                    records.remove(&timetoken.to_string())?;
                }
                channel.history.remove(&timetoken);
            }
        }
        Ok(())
    }

    fn add(&mut self, message: Message, stored: bool) {
        let key = (message.subscribe_key.clone(), message.channel.clone());
        let channel = self.channels.entry(key).or_default();
        let message = Arc::new(message);
        if channel.queue.len() == QUEUE_LENGTH {
            channel.queue.pop_front();
        }
        channel.queue.push_back(Arc::clone(&message));
        if stored {
            channel.history.insert(message.timetoken, message);
        }
    }

    fn channel(&self, subscribe_key: &str, channel: &str) -> Option<&Channel> {
        self.channels.get(&(subscribe_key.to_owned(), channel.to_owned()))
    }
}

impl Message {
    fn is_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|end| now >= end)
    }
}

/// Returns `now` as a timetoken: units of 100 nanoseconds since 1970, 17 digits.
pub(super) fn timetoken(now: Timestamp) -> u64 {
    u64::try_from(now.as_millisecond()).unwrap_or(0) * 10_000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publish(messages: &mut Messages, channel: &str, now: i64) -> u64 {
        let now = Timestamp::from_millisecond(now).unwrap();
        let message = |timetoken| Message {
            timetoken,
            subscribe_key: "sub".to_owned(),
            channel: channel.to_owned(),
            file: false,
            user: "alice".to_owned(),
            payload: RawValue::from_string("1".to_owned()).unwrap(),
            meta: None,
            custom_type: None,
            expires: None,
        };
        messages.publish(true, now, message).unwrap()
    }

    fn tokens(messages: &[Arc<Message>]) -> Vec<u64> {
        messages.iter().map(|message| message.timetoken).collect()
    }

    #[test]
    fn timetokens_grow_also_in_one_millisecond_and_when_the_clock_goes_back() {
        let mut messages = Messages::default();
        let first = publish(&mut messages, "a", 1_735_786_800_000);
        assert_eq!(first, 17_357_868_000_000_000);
        assert_eq!(publish(&mut messages, "b", 1_735_786_800_000), first + 1);
        assert_eq!(publish(&mut messages, "a", 1_735_786_000_000), first + 2);
    }

    #[test]
    fn history_starts_before_one_timetoken_and_ends_with_another() {
        let mut messages = Messages::default();
        let all: Vec<u64> = (1..=5).map(|now| publish(&mut messages, "a", now)).collect();
        let history =
            |start, end, max| tokens(&messages.history("sub", "a", Span { start, end, max }, Timestamp::UNIX_EPOCH));
        assert_eq!(history(u64::MAX, 0, 100), all);
        assert_eq!(history(u64::MAX, 0, 2), all[3..]);
        assert_eq!(history(all[3], 0, 2), all[1..3]);
        assert_eq!(history(all[3], all[1], 100), all[1..3]);
        assert!(history(all[1], all[3], 100).is_empty());
    }

    #[test]
    fn subscribers_get_the_last_hundred_of_each_channel_in_order() {
        let mut messages = Messages::default();
        let all: Vec<u64> = (1..=120).map(|now| publish(&mut messages, "a", now)).collect();
        let other = publish(&mut messages, "b", 200);
        let channels = ["b".to_owned(), "a".to_owned(), "a".to_owned()];
        assert_eq!(tokens(&messages.since("sub", &channels[1..], 0)), all[20..]);
        assert_eq!(tokens(&messages.since("sub", &channels, all[117])), [all[118], all[119], other]);
    }
}
