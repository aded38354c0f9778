//! The Files service for stored files: list, presigned download URL, delete.

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
use super::route::{FileName, KeysetChannel, STORAGE};
use super::storage_keys::{
    ALGORITHM, StorageKeys, UNRESERVED, UNRESERVED_AND_SLASH, amz_date, iso_8601, string_to_sign, whole_seconds,
};
use super::wire::{Deleted, FileList, ListedFile, json};
use super::{Call, PubNub};
use crate::http::{Response, empty};

/// The lifetime of a presigned URL, from the beginning of the hour in which it is created.
const URL_LIFETIME: SignedDuration = SignedDuration::from_secs(3900);
/// The time by which cached redirects expire before their URLs.
const CACHE_MARGIN: SignedDuration = SignedDuration::from_secs(60);
const MAX_PAGE: usize = 100;

impl PubNub {
    pub(super) async fn list(&self, channel: &KeysetChannel, call: &Call<'_>) -> Result<Response, Rejection> {
        self.authorize_files(channel, Right::Read, call, &[]).await?;
        let limit = parse_limit(call.query.get("limit"))?;
        let folder = folder(&channel.subscribe_key, &channel.name);
        let after = call.query.get("next").map(|token| parse_page_token(token, &folder)).transpose()?;
        let now = call.now;
        let (page, more) = self.store.run(move |state| Ok(state.objects.page(&folder, after, limit, now))).await?;
        let next = page.last().filter(|_| more).map(page_token);
        let data: Vec<_> = page.iter().map(listed_file).collect();
        Ok(json(StatusCode::OK, &FileList { status: 200, data: &data, next, count: data.len() }))
    }

    /// Redirects to a presigned URL, which is the same for all requests of one hour. The file need not exist.
    pub(super) async fn url(
        &self,
        channel: &KeysetChannel,
        file: &FileName,
        call: &Call<'_>,
    ) -> Result<Response, Rejection> {
        self.authorize_files(channel, Right::Read, call, &[]).await?;
        let key = ObjectKey::new(&channel.subscribe_key, &channel.name, &file.id, &file.name);
        let hour = Timestamp::from_second(call.now.as_second() / 3600 * 3600).unwrap_or(call.now);
        let max_age = hour.duration_since(whole_seconds(call.now)) + URL_LIFETIME - CACHE_MARGIN;
        let mut response = empty(StatusCode::TEMPORARY_REDIRECT);
        let headers = response.headers_mut();
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        for (name, value) in [
            (LOCATION, self.presigned_url(&key, hour)),
            (CACHE_CONTROL, format!("public, max-age={}, immutable", max_age.as_secs())),
        ] {
            headers.insert(name, HeaderValue::try_from(value).map_err(std::io::Error::other)?);
        }
        Ok(response)
    }

    /// Deletes a file. Succeeds if the file does not exist. Messages about the file stay in history.
    pub(super) async fn delete(
        &self,
        channel: &KeysetChannel,
        file: &FileName,
        call: &Call<'_>,
    ) -> Result<Response, Rejection> {
        self.authorize_files(channel, Right::Delete, call, &[]).await?;
        let key = ObjectKey::new(&channel.subscribe_key, &channel.name, &file.id, &file.name);
        self.store.run(move |state| Ok(state.objects.remove(&key)?)).await?;
        Ok(json(StatusCode::OK, &Deleted { status: 200 }))
    }

    fn presigned_url(&self, key: &ObjectKey, time: Timestamp) -> String {
        let path = format!("{STORAGE}{key}");
        let credential = StorageKeys::credential(time);
        let query = format!(
            "X-Amz-Algorithm={ALGORITHM}&X-Amz-Credential={}&X-Amz-Date={}&X-Amz-Expires={}&X-Amz-SignedHeaders=host",
            utf8_percent_encode(&credential, UNRESERVED),
            amz_date(time),
            URL_LIFETIME.as_secs(),
        );
        let text = string_to_sign("GET", &self.host, &path, &Query::parse(Some(&query)), time);
        let signature = self.storage_keys.sign(time, &text);
        let path = utf8_percent_encode(&path, UNRESERVED_AND_SLASH);
        format!("{}{path}?{query}&X-Amz-Signature={signature}", self.base)
    }
}

fn parse_limit(parameter: Option<&str>) -> Result<usize, Rejection> {
    let limit = parameter.map_or(Some(MAX_PAGE), |text| text.parse().ok());
    limit.filter(|limit| (1..=MAX_PAGE).contains(limit)).ok_or_else(|| {
        Rejection::files("Invalid limit parameter. Limit must be an integer between 1 and 100 (inclusive).")
    })
}

/// Returns the token of the page after `object`. It is opaque, needs no escaping in a URL, and begins with `1` as the
/// service's tokens do.
fn page_token(object: &StoredObject) -> String {
    format!("1{}", URL_SAFE_NO_PAD.encode(format!("{}/{}", object.key.id(), object.key.name())))
}

/// Returns the key of the last object before the page.
fn parse_page_token(token: &str, folder: &str) -> Result<ObjectKey, Rejection> {
    let decoded = token.strip_prefix('1').and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
    let file = decoded.and_then(|text| String::from_utf8(text).ok());
    let file = file.ok_or_else(|| Rejection::files("Invalid next parameter."))?;
    Ok(ObjectKey::from_text(&format!("{folder}{file}")))
}

fn listed_file(object: &StoredObject) -> ListedFile {
    ListedFile {
        name: object.key.name().to_owned(),
        id: object.key.id().to_owned(),
        size: object.size,
        created: iso_8601(object.created),
    }
}
