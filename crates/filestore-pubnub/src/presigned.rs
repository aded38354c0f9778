//! [`PresignedUrl`] of a file in the storage, and [`PresignedUrlCache`].

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use url::Url;

use crate::file_key::FileKey;

/// A presigned URL that expires within this time is not used any more.
const EXPIRY_MARGIN: SignedDuration = SignedDuration::from_secs(60);

/// The largest number of presigned URLs in the cache.
const CAPACITY: usize = 1024;

#[derive(Clone)]
pub(crate) struct PresignedUrl {
    pub(crate) url: Url,
    /// The expiry by the service's clock; `None` if the URL does not state it.
    pub(crate) expires: Option<Timestamp>,
    /// The local time minus the service's time.
    clock_offset: SignedDuration,
}

impl PresignedUrl {
    pub(crate) fn new(url: Url, clock_offset: SignedDuration) -> Self {
        let expires = filestore_http::expiry(&url);
        Self { url, expires, clock_offset }
    }

    pub(crate) fn is_signed(&self) -> bool {
        self.url.query_pairs().any(|(name, _)| name == "X-Amz-Signature")
    }

    /// Returns the time until the URL expires. `now` is the local time.
    pub(crate) fn remaining(&self, now: Timestamp) -> SignedDuration {
        self.expires.map_or(SignedDuration::ZERO, |expires| expires.duration_since(now) + self.clock_offset)
    }
}

/// Presigned URLs that are still valid, so that a second download needs no request for one.
#[derive(Default)]
pub(crate) struct PresignedUrlCache(Mutex<HashMap<FileKey, PresignedUrl>>);

impl PresignedUrlCache {
    pub(crate) fn get(&self, key: &FileKey, now: Timestamp) -> Option<PresignedUrl> {
        self.map().get(key).filter(|presigned| presigned.remaining(now) > EXPIRY_MARGIN).cloned()
    }

    pub(crate) fn insert(&self, key: &FileKey, presigned: &PresignedUrl, now: Timestamp) {
        let mut map = self.map();
        if map.len() >= CAPACITY {
            map.retain(|_, presigned| presigned.remaining(now) > EXPIRY_MARGIN);
        }
        if map.len() < CAPACITY && presigned.remaining(now) > EXPIRY_MARGIN {
            map.insert(key.clone(), presigned.clone());
        }
    }

    pub(crate) fn remove(&self, key: &FileKey) {
        self.map().remove(key);
    }

    fn map(&self) -> MutexGuard<'_, HashMap<FileKey, PresignedUrl>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNED: &str = "https://files.example/a?X-Amz-Date=20250102T030000Z&X-Amz-Expires=3900&X-Amz-Signature=s";

    fn presigned() -> PresignedUrl {
        PresignedUrl::new(SIGNED.parse().unwrap(), SignedDuration::ZERO)
    }

    fn key(name: &str) -> FileKey {
        FileKey { channel: "c".into(), id: "1".into(), name: name.into() }
    }

    #[test]
    fn a_presigned_url_states_its_expiry() {
        assert_eq!(presigned().expires, Some("2025-01-02T04:05:00Z".parse().unwrap()));
        let unsigned = "https://files.example/a".parse().unwrap();
        assert_eq!(PresignedUrl::new(unsigned, SignedDuration::ZERO).expires, None);
    }

    #[test]
    fn a_presigned_url_is_cached_until_a_minute_before_its_expiry() {
        let cache = PresignedUrlCache::default();
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        cache.insert(&key("a"), &presigned(), at("2025-01-02T03:10:00Z"));
        assert!(cache.get(&key("a"), at("2025-01-02T04:03:59Z")).is_some());
        assert!(cache.get(&key("a"), at("2025-01-02T04:04:00Z")).is_none());
        assert!(cache.get(&key("b"), at("2025-01-02T03:10:00Z")).is_none());
        cache.remove(&key("a"));
        assert!(cache.get(&key("a"), at("2025-01-02T03:10:00Z")).is_none());
    }

    #[test]
    fn the_cache_holds_at_most_its_capacity() {
        let cache = PresignedUrlCache::default();
        let now = "2025-01-02T03:10:00Z".parse().unwrap();
        for number in 0..2000 {
            cache.insert(&key(&number.to_string()), &presigned(), now);
        }
        assert_eq!(cache.map().len(), CAPACITY);
    }
}
