//! What the Files service does with files that are stored: list them, give their URL, delete them.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, LOCATION};
use http::{HeaderValue, StatusCode};
use jiff::{SignedDuration, Timestamp};
use percent_encoding::utf8_percent_encode;

use super::error::Rejection;
use super::grants::Right;
use super::objects::{ObjectKey, StoredObject, folder};
use super::query::Query;
use super::route::{ChannelOf, FileName, STORAGE};
use super::storage_keys::{
    ALGORITHM, StorageKeys, UNRESERVED, UNRESERVED_AND_SLASH, compact, seconds, text_of_url, whole_seconds,
};
use super::wire::{Done, FileList, ListedFile, json};
use super::{Call, PubNub};
use crate::http::{Response, empty};

/// How long a signed URL is good, from the beginning of the hour in which it was given.
const URL_LIFE: SignedDuration = SignedDuration::from_secs(3900);
/// How long before that caches forget it.
const CACHE_MARGIN: SignedDuration = SignedDuration::from_secs(60);
const LARGEST_PAGE: usize = 100;

impl PubNub {
    pub(super) async fn list(&self, of: &ChannelOf, call: &Call<'_>) -> Result<Response, Rejection> {
        self.admit_to_files(of, Right::Read, call, &[]).await?;
        let limit = limit(call.query.get("limit"))?;
        let folder = folder(&of.subscribe_key, &of.channel);
        let after = call.query.get("next").map(|token| last_of(token, &folder)).transpose()?;
        let now = call.now;
        let (page, more) = self.store.run(move |state| Ok(state.objects.page(&folder, after, limit, now))).await?;
        let next = page.last().filter(|_| more).map(token_behind);
        let data: Vec<_> = page.iter().map(listed).collect();
        Ok(json(StatusCode::OK, &FileList { status: 200, data: &data, next, count: data.len() }))
    }

    /// The same URL for everybody in an hour, and for files that do not exist too.
    pub(super) async fn url(&self, of: &ChannelOf, file: &FileName, call: &Call<'_>) -> Result<Response, Rejection> {
        self.admit_to_files(of, Right::Read, call, &[]).await?;
        let key = ObjectKey::new(&of.subscribe_key, &of.channel, &file.id, &file.name);
        let hour = Timestamp::from_second(call.now.as_second() / 3600 * 3600).unwrap_or(call.now);
        let max_age = hour.duration_since(whole_seconds(call.now)) + URL_LIFE - CACHE_MARGIN;
        let mut response = empty(StatusCode::TEMPORARY_REDIRECT);
        let headers = response.headers_mut();
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        for (name, value) in [
            (LOCATION, self.signed_url(&key, hour)),
            (CACHE_CONTROL, format!("public, max-age={}, immutable", max_age.as_secs())),
        ] {
            headers.insert(name, HeaderValue::try_from(value).map_err(std::io::Error::other)?);
        }
        Ok(response)
    }

    /// Deleting what is not there succeeds. Messages about the file stay.
    pub(super) async fn delete(&self, of: &ChannelOf, file: &FileName, call: &Call<'_>) -> Result<Response, Rejection> {
        self.admit_to_files(of, Right::Delete, call, &[]).await?;
        let key = ObjectKey::new(&of.subscribe_key, &of.channel, &file.id, &file.name);
        self.store.run(move |state| Ok(state.objects.remove(&key)?)).await?;
        Ok(json(StatusCode::OK, &Done { status: 200 }))
    }

    fn signed_url(&self, key: &ObjectKey, time: Timestamp) -> String {
        let path = format!("{STORAGE}{key}");
        let credential = StorageKeys::credential(time);
        let query = format!(
            "X-Amz-Algorithm={ALGORITHM}&X-Amz-Credential={}&X-Amz-Date={}&X-Amz-Expires={}&X-Amz-SignedHeaders=host",
            utf8_percent_encode(&credential, UNRESERVED),
            compact(time),
            URL_LIFE.as_secs(),
        );
        let text = text_of_url("GET", &self.host, &path, &Query::of(Some(&query)), time);
        let signature = self.storage_keys.sign(time, &text);
        let path = utf8_percent_encode(&path, UNRESERVED_AND_SLASH);
        format!("{}{path}?{query}&X-Amz-Signature={signature}", self.base)
    }
}

fn limit(given: Option<&str>) -> Result<usize, Rejection> {
    let limit = given.map_or(Some(LARGEST_PAGE), |text| text.parse().ok());
    limit.filter(|limit| (1..=LARGEST_PAGE).contains(limit)).ok_or_else(|| {
        Rejection::files("Invalid limit parameter. Limit must be an integer between 1 and 100 (inclusive).")
    })
}

/// Opaque, safe in a URL as it is, and beginning with a 1 like the service's own.
fn token_behind(object: &StoredObject) -> String {
    format!("1{}", URL_SAFE_NO_PAD.encode(format!("{}/{}", object.key.id(), object.key.name())))
}

/// The key behind which a page begins.
fn last_of(token: &str, folder: &str) -> Result<ObjectKey, Rejection> {
    let decoded = token.strip_prefix('1').and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
    let file = decoded.and_then(|text| String::from_utf8(text).ok());
    let file = file.ok_or_else(|| Rejection::files("Invalid next parameter."))?;
    Ok(ObjectKey::given(&format!("{folder}{file}")))
}

fn listed(object: &StoredObject) -> ListedFile {
    ListedFile {
        name: object.key.name().to_owned(),
        id: object.key.id().to_owned(),
        size: object.size,
        created: seconds(object.created),
    }
}
