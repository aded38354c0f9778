//! [`Address`]: where the storage has a file, signed, and for how long.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use url::Url;

use crate::file_key::FileKey;

/// So long before its end an address is not used any more.
const MARGIN: SignedDuration = SignedDuration::from_secs(60);

/// So many addresses are remembered.
const REMEMBERED: usize = 1024;

#[derive(Clone)]
pub(crate) struct Address {
    pub(crate) url: Url,
    /// By the service's clock; `None` if it does not say.
    pub(crate) end: Option<Timestamp>,
    /// How far the clock of this machine is ahead of the service's.
    ahead: SignedDuration,
}

impl Address {
    pub(crate) fn new(url: Url, ahead: SignedDuration) -> Self {
        let end = filestore_http::expiry(&url);
        Self { url, end, ahead }
    }

    pub(crate) fn is_signed(&self) -> bool {
        self.url.query_pairs().any(|(name, _)| name == "X-Amz-Signature")
    }

    /// How long it still works at `now`, which is by the clock of this machine.
    pub(crate) fn left(&self, now: Timestamp) -> SignedDuration {
        self.end.map_or(SignedDuration::ZERO, |end| end.duration_since(now) + self.ahead)
    }
}

/// Addresses that still work, so that a second download asks for nothing.
#[derive(Default)]
pub(crate) struct Addresses(Mutex<HashMap<FileKey, Address>>);

impl Addresses {
    pub(crate) fn get(&self, place: &FileKey, now: Timestamp) -> Option<Address> {
        self.map().get(place).filter(|address| address.left(now) > MARGIN).cloned()
    }

    pub(crate) fn remember(&self, place: &FileKey, address: &Address, now: Timestamp) {
        let mut map = self.map();
        if map.len() >= REMEMBERED {
            map.retain(|_, address| address.left(now) > MARGIN);
        }
        if map.len() < REMEMBERED && address.left(now) > MARGIN {
            map.insert(place.clone(), address.clone());
        }
    }

    pub(crate) fn forget(&self, place: &FileKey) {
        self.map().remove(place);
    }

    fn map(&self) -> MutexGuard<'_, HashMap<FileKey, Address>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNED: &str = "https://files.example/a?X-Amz-Date=20250102T030000Z&X-Amz-Expires=3900&X-Amz-Signature=s";

    fn address() -> Address {
        Address::new(SIGNED.parse().unwrap(), SignedDuration::ZERO)
    }

    fn key(name: &str) -> FileKey {
        FileKey { channel: "c".into(), id: "1".into(), name: name.into() }
    }

    #[test]
    fn an_address_says_when_it_ends() {
        assert_eq!(address().end, Some("2025-01-02T04:05:00Z".parse().unwrap()));
        assert_eq!(Address::new("https://files.example/a".parse().unwrap(), SignedDuration::ZERO).end, None);
    }

    #[test]
    fn an_address_is_remembered_until_a_minute_before_its_end() {
        let addresses = Addresses::default();
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        addresses.remember(&key("a"), &address(), at("2025-01-02T03:10:00Z"));
        assert!(addresses.get(&key("a"), at("2025-01-02T04:03:59Z")).is_some());
        assert!(addresses.get(&key("a"), at("2025-01-02T04:04:00Z")).is_none());
        assert!(addresses.get(&key("b"), at("2025-01-02T03:10:00Z")).is_none());
        addresses.forget(&key("a"));
        assert!(addresses.get(&key("a"), at("2025-01-02T03:10:00Z")).is_none());
    }

    #[test]
    fn no_more_than_some_addresses_are_remembered() {
        let addresses = Addresses::default();
        let now = "2025-01-02T03:10:00Z".parse().unwrap();
        for number in 0..2000 {
            addresses.remember(&key(&number.to_string()), &address(), now);
        }
        assert_eq!(addresses.map().len(), REMEMBERED);
    }
}
