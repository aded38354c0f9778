//! Messages on channels: those that history remembers, and those that subscribers may still fetch.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::watch;

use crate::durable::Records;

/// How many messages of a channel wait for subscribers, as the service documents it.
const QUEUE: usize = 100;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Message {
    pub(super) timetoken: u64,
    pub(super) subscribe_key: String,
    pub(super) channel: String,
    /// Whether it announces a file.
    pub(super) file: bool,
    pub(super) user: String,
    /// The JSON as it was published.
    pub(super) payload: Box<RawValue>,
    pub(super) meta: Option<Box<RawValue>>,
    pub(super) custom_type: Option<String>,
    /// When history forgets it; never if there is none.
    pub(super) expires: Option<Timestamp>,
}

#[derive(Debug, Default)]
pub(super) struct Messages {
    channels: HashMap<(String, String), Channel>,
    last: u64,
    records: Option<Records<Message>>,
    /// Tells subscribers that there is something to look at.
    news: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Channel {
    history: BTreeMap<u64, Arc<Message>>,
    queue: VecDeque<Arc<Message>>,
}

/// Which part of a channel's history.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    /// From before this timetoken into the past.
    pub(super) start: u64,
    /// Down to this one.
    pub(super) end: u64,
    pub(super) max: usize,
}

impl Messages {
    pub(super) fn kept_in(folder: &Path) -> io::Result<Self> {
        let records = Records::open(folder.join("messages"))?;
        let mut stored: Vec<Message> = records.load()?;
        stored.sort_unstable_by_key(|message| message.timetoken);
        let mut messages = Messages { records: Some(records), ..Messages::default() };
        for message in stored {
            messages.last = message.timetoken;
            messages.add(message, true);
        }
        Ok(messages)
    }

    /// A point in time that is behind every message so far and before every later one.
    pub(super) fn next_timetoken(&mut self, now: Timestamp) -> u64 {
        self.last = timetoken(now).max(self.last + 1);
        self.last
    }

    /// Publishes what `message` makes for its timetoken.
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
        self.news.send_replace(());
        Ok(timetoken)
    }

    /// Changes whenever something was published.
    pub(super) fn news(&self) -> watch::Receiver<()> {
        self.news.subscribe()
    }

    /// What was published on some channels since a timetoken, oldest first.
    pub(super) fn since(&self, subscribe_key: &str, channels: &[String], timetoken: u64) -> Vec<Arc<Message>> {
        let queues = channels.iter().filter_map(|channel| self.channel(subscribe_key, channel));
        let waiting = queues.flat_map(|channel| &channel.queue).filter(|message| message.timetoken > timetoken);
        let mut messages: Vec<_> = waiting.map(Arc::clone).collect();
        messages.sort_unstable_by_key(|message| message.timetoken);
        // A channel may be named twice.
        messages.dedup_by_key(|message| message.timetoken);
        messages.truncate(QUEUE);
        messages
    }

    /// The newest messages of a part of history, oldest first.
    pub(super) fn history(&self, subscribe_key: &str, channel: &str, span: Span, now: Timestamp) -> Vec<Arc<Message>> {
        let Some(channel) = self.channel(subscribe_key, channel).filter(|_| span.end < span.start) else {
            return Vec::new();
        };
        let inside = channel.history.range(span.end..span.start).rev().map(|(_, message)| message);
        let mut messages: Vec<_> =
            inside.filter(|message| !message.is_gone(now)).take(span.max).map(Arc::clone).collect();
        messages.reverse();
        messages
    }

    pub(super) fn sweep(&mut self, now: Timestamp) -> io::Result<()> {
        self.remove_all(|message| message.is_gone(now))
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
        let of = (message.subscribe_key.clone(), message.channel.clone());
        let channel = self.channels.entry(of).or_default();
        let message = Arc::new(message);
        if channel.queue.len() == QUEUE {
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
    fn is_gone(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|end| now >= end)
    }
}

/// Units of 100 nanoseconds since 1970, 17 digits.
pub(super) fn timetoken(now: Timestamp) -> u64 {
    u64::try_from(now.as_millisecond()).unwrap_or(0) * 10_000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn published(messages: &mut Messages, channel: &str, now: i64) -> u64 {
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
        let first = published(&mut messages, "a", 1_735_786_800_000);
        assert_eq!(first, 17_357_868_000_000_000);
        assert_eq!(published(&mut messages, "b", 1_735_786_800_000), first + 1);
        assert_eq!(published(&mut messages, "a", 1_735_786_000_000), first + 2);
    }

    #[test]
    fn history_starts_before_one_timetoken_and_ends_with_another() {
        let mut messages = Messages::default();
        let all: Vec<u64> = (1..=5).map(|now| published(&mut messages, "a", now)).collect();
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
        let all: Vec<u64> = (1..=120).map(|now| published(&mut messages, "a", now)).collect();
        let other = published(&mut messages, "b", 200);
        let channels = ["b".to_owned(), "a".to_owned(), "a".to_owned()];
        assert_eq!(tokens(&messages.since("sub", &channels[1..], 0)), all[20..]);
        assert_eq!(tokens(&messages.since("sub", &channels, all[117])), [all[118], all[119], other]);
    }
}
