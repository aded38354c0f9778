//! [`checked`]: checks the entries of a listing before OpenDAL reads them.
//!
//! OpenDAL takes each entry for one of the requested folder: it removes the store's root from the path without a
//! comparison, and a recursive delete deletes every entry. A cache that ignores the query, or a gateway that ignores
//! `prefix`, would have files of other folders deleted.

use std::ops::Range;

use bytes::Bytes;
use filestore_http::Url;
use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::Event;
use serde::Deserialize;

use crate::protocol::Service;

/// A listing that OpenDAL can read.
pub(crate) struct Listing {
    pub(crate) body: Bytes,
    /// The number of entries that it does not have because their size or time cannot be read.
    pub(crate) left_out: usize,
}

/// One entry of a listing in XML.
#[derive(Default)]
struct Entry {
    /// The bytes of its element.
    bytes: Range<usize>,
    /// The bytes of its name in the element.
    name_bytes: Range<usize>,
    name: Option<String>,
    size: Option<String>,
    modified: Option<String>,
    /// `true` for a file of S3, which must have a size and a time for OpenDAL.
    is_file: bool,
}

/// A change of the bytes of a listing.
type Edit = (Range<usize>, String);

/// Returns the listing that `service` sent in response to the request `name` for `url`. An error, in words, if an entry
/// is not in the requested folder, or if it cannot be read.
pub(crate) fn checked(service: Service, name: &str, url: &Url, body: Bytes) -> Result<Listing, String> {
    let prefix = url.query_pairs().find(|(key, _)| key == "prefix").map(|(_, prefix)| prefix.into_owned());
    let prefix = prefix.unwrap_or_default();
    match (service, name) {
        (Service::S3, _) => files_of_s3(&prefix, body),
        (Service::Webdav, _) => responses(url, body),
        (Service::Other, "ListBlobs") => {
            for entry in entries(&body, &[("Blob", "Name"), ("BlobPrefix", "Name")])? {
                check_prefix(&entry.name.unwrap_or_default(), &prefix)?;
            }
            Ok(Listing { body, left_out: 0 })
        }
        (Service::Other, _) => {
            objects_of_gcs(&prefix, &body)?;
            Ok(Listing { body, left_out: 0 })
        }
    }
}

/// Leaves out the files whose size or time is missing or cannot be read: OpenDAL would reject the whole listing.
fn files_of_s3(prefix: &str, body: Bytes) -> Result<Listing, String> {
    let mut edits = Vec::new();
    for entry in entries(&body, &[("Contents", "Key"), ("CommonPrefixes", "Prefix")])? {
        if let Some(key) = &entry.name {
            check_prefix(key, prefix)?;
        }
        let has_size = entry.size.is_some_and(|size| size.parse::<u64>().is_ok());
        let has_time = entry.modified.is_some_and(|modified| modified.parse::<Timestamp>().is_ok());
        if entry.name.is_none() || (entry.is_file && !(has_size && has_time)) {
            tracing::warn!(key = entry.name, "the listing shows no readable size and time of a file: it is left out");
            edits.push((entry.bytes, String::new()));
        }
    }
    Ok(Listing { left_out: edits.len(), body: edited(body, edits) })
}

/// Checks the responses of a multistatus document. Their `href` may be a whole URL (RFC 4918, 8.3), which becomes a
/// path.
fn responses(url: &Url, body: Bytes) -> Result<Listing, String> {
    let folder = decoded(url.path());
    let mut edits = Vec::new();
    for entry in entries(&body, &[("response", "href")])? {
        let href = entry.name.unwrap_or_default();
        let path = match Url::parse(&href) {
            Ok(absolute) if absolute.origin() == url.origin() => {
                edits.push((entry.name_bytes, absolute.path().to_owned()));
                absolute.path().to_owned()
            }
            _ => href,
        };
        let path = decoded(&path);
        if path.trim_end_matches('/') != folder.trim_end_matches('/') {
            check_prefix(&path, &format!("{}/", folder.trim_end_matches('/')))?;
        }
    }
    Ok(Listing { body: edited(body, edits), left_out: 0 })
}

/// Checks the names of a listing of Google Cloud Storage.
fn objects_of_gcs(prefix: &str, body: &[u8]) -> Result<(), String> {
    #[derive(Deserialize)]
    struct Objects {
        #[serde(default)]
        items: Vec<Object>,
        #[serde(default)]
        prefixes: Vec<String>,
    }
    #[derive(Deserialize)]
    struct Object {
        name: String,
    }
    let listing: Objects = serde_json::from_slice(body).map_err(unreadable)?;
    let mut names = listing.items.into_iter().map(|object| object.name).chain(listing.prefixes);
    names.try_for_each(|name| check_prefix(&name, prefix))
}

fn check_prefix(name: &str, prefix: &str) -> Result<(), String> {
    if name.starts_with(prefix) {
        return Ok(());
    }
    Err(format!(
        "the listing of {prefix:?} has {name:?}, which is not in it; check the proxies and gateways before the service"
    ))
}

/// Returns the elements `entry` of a document, with the text of their child `name`.
fn entries(body: &[u8], elements: &[(&str, &str)]) -> Result<Vec<Entry>, String> {
    let mut reader = Reader::from_str(std::str::from_utf8(body).map_err(unreadable)?);
    let (mut entries, mut current, mut names) = (Vec::new(), None::<(Entry, &str, usize)>, Vec::new());
    let mut text = String::new();
    loop {
        let before = position(&reader);
        let event = reader.read_event().map_err(unreadable)?;
        match event {
            Event::Start(start) => {
                let name = start.local_name().as_ref().to_owned();
                if current.is_none()
                    && let Some((entry, child)) = elements.iter().find(|(entry, _)| *entry == name)
                {
                    let entry = Entry { bytes: before..before, is_file: *entry == "Contents", ..Entry::default() };
                    current = Some((entry, child, names.len()));
                }
                names.push((name, position(&reader)));
                text.clear();
            }
            Event::Text(piece) => text.push_str(&piece),
            Event::CData(piece) => text.push_str(&piece),
            Event::GeneralRef(reference) => match reference.resolve_char_ref().map_err(unreadable)? {
                Some(character) => text.push(character),
                None => {
                    let name: &str = &reference;
                    text.push_str(resolve_predefined_entity(name).ok_or_else(|| unreadable(format!("&{name};")))?);
                }
            },
            Event::End(_) => {
                let Some((name, begin)) = names.pop() else { return Err(unreadable("an end without a beginning")) };
                let Some((mut entry, child, depth)) = current.take() else { continue };
                if names.len() == depth {
                    entry.bytes.end = position(&reader);
                    entries.push(entry);
                    continue;
                }
                if names.len() == depth + 1 {
                    let text = std::mem::take(&mut text);
                    match name.as_str() {
                        _ if name == child => (entry.name, entry.name_bytes) = (Some(text), begin..before),
                        "Size" => entry.size = Some(text),
                        "LastModified" => entry.modified = Some(text),
                        _ => {}
                    }
                }
                current = Some((entry, child, depth));
            }
            Event::Eof if names.is_empty() => return Ok(entries),
            Event::Eof => return Err(unreadable("it ends early")),
            _ => {}
        }
    }
}

fn position(reader: &Reader<&[u8]>) -> usize {
    usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX)
}

fn edited(body: Bytes, edits: Vec<Edit>) -> Bytes {
    if edits.is_empty() {
        return body;
    }
    let (mut edited, mut at) = (Vec::with_capacity(body.len()), 0);
    for (range, text) in edits {
        edited.extend_from_slice(&body[at..range.start]);
        edited.extend_from_slice(text.as_bytes());
        at = range.end;
    }
    edited.extend_from_slice(&body[at..]);
    edited.into()
}

fn decoded(path: &str) -> String {
    percent_decode_str(path).decode_utf8_lossy().into_owned()
}

fn unreadable(problem: impl std::fmt::Display) -> String {
    format!("the listing cannot be read ({problem}); check that the endpoint is that of the service")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(service: Service, name: &str, url: &str, body: &str) -> Result<(String, usize), String> {
        let listing = checked(service, name, &url.parse().unwrap(), Bytes::copy_from_slice(body.as_bytes()))?;
        Ok((String::from_utf8(listing.body.to_vec()).unwrap(), listing.left_out))
    }

    fn s3(body: &str) -> Result<(String, usize), String> {
        list(Service::S3, "ListObjectsV2", "http://h/b?list-type=2&prefix=d%2F", body)
    }

    fn file(key: &str) -> String {
        format!(
            "<Contents><Key>{key}</Key><LastModified>2026-01-02T03:04:05.000Z</LastModified><Size>1</Size></Contents>"
        )
    }

    fn result(entries: &[&str]) -> String {
        format!(
            r#"<?xml version="1.0"?><ListBucketResult xmlns="urn:x"><Name>b</Name>{}</ListBucketResult>"#,
            entries.concat()
        )
    }

    #[test]
    fn a_listing_of_the_folder_is_unchanged() {
        let body = result(&[
            &file("d/"),
            &file("d/a&amp;b"),
            &file("d/&#252;"),
            "<CommonPrefixes><Prefix>d/e/</Prefix></CommonPrefixes>",
        ]);
        assert_eq!(s3(&body).unwrap(), (body, 0));
        let empty = result(&[]);
        assert_eq!(s3(&empty).unwrap(), (empty, 0));
    }

    #[test]
    fn an_entry_of_another_folder_is_an_error() {
        for foreign in ["a", "d", "d2/x", "D/x", "keep/d/x", "/d/x", "&amp;d/"] {
            let problem = s3(&result(&[&file("d/a"), &file(foreign)])).unwrap_err();
            assert!(problem.contains("is not in it"), "{problem}");
            let prefix = format!("<CommonPrefixes><Prefix>{foreign}</Prefix></CommonPrefixes>");
            assert!(s3(&result(&[&prefix])).is_err(), "{foreign}");
        }
        let azure = |name: &str| {
            let body =
                format!("<EnumerationResults><Blobs><Blob><Name>{name}</Name></Blob></Blobs></EnumerationResults>");
            list(Service::Other, "ListBlobs", "http://h/c?comp=list&prefix=d/", &body)
        };
        assert!(azure("d/a").is_ok());
        assert!(azure("e/a").is_err());
        let gcs = |name: &str| {
            list(
                Service::Other,
                "ListObjects",
                "http://h/o?prefix=d/",
                &format!(r#"{{"items":[{{"name":"{name}"}}]}}"#),
            )
        };
        assert!(gcs("d/a").is_ok());
        assert!(gcs("e/a").is_err());
    }

    #[test]
    fn a_file_without_a_readable_size_or_time_is_left_out() {
        let (good, last) = (file("d/a"), file("d/z"));
        for odd in [
            file("d/b").replace("<Size>1", "<Size>-1"),
            file("d/b").replace("<Size>1</Size>", ""),
            file("d/b").replace("2026-01-02T03:04:05.000Z", "yesterday"),
            file("d/b").replace("<Key>d/b</Key>", ""),
        ] {
            assert_eq!(s3(&result(&[&good, &odd, &last])).unwrap(), (result(&[&good, &last]), 1), "{odd}");
        }
    }

    #[test]
    fn a_response_of_webdav_is_of_the_folder_and_its_url_becomes_a_path() {
        let dav = |href: &str| {
            let body = format!(
                r#"<D:multistatus xmlns:D="DAV:"><D:response><D:href>{href}</D:href></D:response></D:multistatus>"#
            );
            list(Service::Webdav, "Propfind", "http://h:80/dav/my%20d/", &body)
        };
        for href in ["/dav/my%20d/", "/dav/my%20d", "/dav/my%20d/a", "/dav/my d/%61"] {
            assert!(dav(href).unwrap().0.contains(&format!(">{href}<")), "{href}");
        }
        let (body, _) = dav("http://h/dav/my%20d/a").unwrap();
        assert!(body.contains(">/dav/my%20d/a<"), "{body}");
        for href in ["/", "/dav/", "/dav/my%20d2/a", "/dav/other", "http://other/dav/my%20d/a", "a", ""] {
            assert!(dav(href).is_err(), "{href}");
        }
    }

    #[test]
    fn an_invalid_document_is_an_error() {
        for body in
            ["<ListBucketResult><Contents>", "<ListBucketResult></Contents></ListBucketResult>", "<a>&nope;</a>"]
        {
            assert!(s3(body).is_err(), "{body}");
        }
    }
}
