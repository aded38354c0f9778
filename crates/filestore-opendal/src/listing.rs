//! [`checked`]: checks the entries of a listing before OpenDAL reads them.
//!
//! OpenDAL takes each entry for one of the requested folder: it removes the store's root from the path without a
//! comparison, and a recursive delete deletes every entry. A cache that ignores the query, or a gateway that ignores
//! `prefix`, would have files of other folders deleted.
//!
//! It also removes the entries that no reference can address, such as the key `a//b`: OpenDAL would show them under
//! another path, at which a delete would find another file.

use std::ops::Range;

use bytes::Bytes;
use filestore_core::components::{self, TEMPORARY_FOLDER};
use filestore_core::percent_decode;
use filestore_http::Url;
use jiff::Timestamp;
use quick_xml::Reader;
use quick_xml::escape::{escape, resolve_predefined_entity};
use quick_xml::events::Event;
use serde_json::Value;

use crate::protocol::Service;

/// A listing that OpenDAL can read.
pub(crate) struct Listing {
    pub(crate) body: Bytes,
    /// The number of entries that it does not have: no reference can address them, or they cannot be read.
    pub(crate) left_out: u64,
}

/// The largest entry of a listing, in bytes. OpenDAL keeps entries in blocks of 64 KiB, and panics if one is larger.
const MAX_ENTRY: usize = 16 * 1024;

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
    /// The properties of a WebDAV response. OpenDAL reads the first ones that are complete.
    properties: Properties,
    has_complete_properties: bool,
    /// The name of its element.
    element: &'static str,
}

/// The properties of one `propstat` of a WebDAV response (RFC 4918, section 14.22).
#[derive(Debug, Default)]
struct Properties {
    status: Option<String>,
    size: Option<String>,
    modified: Option<String>,
    is_folder: bool,
}

impl Properties {
    /// Returns `true` if OpenDAL can read them. It would reject the whole listing.
    fn are_complete(&self) -> bool {
        let status = self.status.as_ref().and_then(|status| status.split_whitespace().nth(1)?.parse::<u16>().ok());
        let modified = self.modified.as_ref();
        status.is_some_and(|status| status < 400)
            && modified.is_some_and(|time| opendal::raw::Timestamp::parse_rfc2822(time).is_ok())
            && (self.is_folder || self.size.as_ref().is_some_and(|size| size.parse::<u64>().is_ok()))
    }

    fn set(&mut self, name: &str, text: &mut String) {
        match name {
            "status" => self.status = Some(std::mem::take(text)),
            "getcontentlength" => self.size = Some(std::mem::take(text)),
            "getlastmodified" => self.modified = Some(std::mem::take(text)),
            "collection" => self.is_folder = true,
            _ => {}
        }
    }
}

impl Entry {
    /// Returns `true` if OpenDAL can read the entry and a reference can address it. `root` is the path that the names
    /// of all entries of the store begin with.
    fn is_addressable(&self, root: &str) -> bool {
        let Some(name) = &self.name else { return false };
        let is_complete = match self.element {
            // OpenDAL would reject the whole listing.
            "Contents" => {
                let has_size = self.size.as_ref().is_some_and(|size| size.parse::<u64>().is_ok());
                let has_time = self.modified.as_ref().is_some_and(|time| time.parse::<Timestamp>().is_ok());
                has_size && has_time
            }
            "CommonPrefixes" | "BlobPrefix" => name.ends_with('/'),
            _ => true,
        };
        is_complete && self.bytes.len() <= MAX_ENTRY && is_addressable(name, root)
    }
}

/// Returns `true` if a reference can address the file or folder `name` below `root`. OpenDAL removes outer white space
/// and empty components.
fn is_addressable(name: &str, root: &str) -> bool {
    // The check of the prefix rejects all other names.
    let Some(path) = name.strip_prefix(root) else { return true };
    let mut components = path.strip_suffix('/').unwrap_or(path).split('/');
    let is_kept = |component: &str| component.trim() == component && components::is_addressable(component);
    path.is_empty() || components.all(is_kept)
}

/// A change of the bytes of a listing.
type Edit = (Range<usize>, String);

/// Returns the listing that `service` sent in response to the request `name` for `url`, without the entries that no
/// reference can address. `root` is the path that the names of all entries of the store begin with. An error, in words,
/// if an entry is not in the requested folder, or if the listing cannot be read.
pub(crate) fn checked(service: Service, name: &str, url: &Url, root: &str, body: Bytes) -> Result<Listing, String> {
    let prefix = url.query_pairs().find(|(key, _)| key == "prefix").map(|(_, prefix)| prefix.into_owned());
    let prefix = prefix.unwrap_or_default();
    match (service, name) {
        (Service::S3, _) => objects(&[("Contents", "Key"), ("CommonPrefixes", "Prefix")], &prefix, root, body),
        (Service::Webdav, _) => responses(url, root, body),
        (Service::Other, "ListBlobs") => objects(&[("Blob", "Name"), ("BlobPrefix", "Name")], &prefix, root, body),
        (Service::Other, _) => objects_of_gcs(&prefix, root, &body),
    }
}

/// Checks the objects of an XML listing of S3 or Azure, whose elements and their names are `elements`.
fn objects(
    elements: &[(&'static str, &'static str)],
    prefix: &str,
    root: &str,
    body: Bytes,
) -> Result<Listing, String> {
    let mut edits = Vec::new();
    for entry in entries(&body, elements)? {
        if let Some(name) = &entry.name {
            check_prefix(name, prefix)?;
        }
        if !entry.is_addressable(root) {
            tracing::debug!(name = entry.name, "an entry of the listing is left out");
            edits.push((entry.bytes, String::new()));
        }
    }
    Ok(Listing { left_out: edits.len() as u64, body: edited(body, edits) })
}

/// Checks the responses of a multistatus document. Their `href` may be a whole URL (RFC 4918, 8.3), which becomes a
/// path.
fn responses(url: &Url, root: &str, body: Bytes) -> Result<Listing, String> {
    let folder = percent_decode(url.path()).map_err(|error| unreadable(error.message()))?;
    let (mut edits, mut left_out) = (Vec::new(), 0);
    for mut entry in entries(&body, &[("response", "href")])? {
        let href = entry.name.take().unwrap_or_default();
        let absolute = Url::parse(&href).ok().filter(|absolute| absolute.origin() == url.origin());
        let path = absolute.as_ref().map_or(href.as_str(), |absolute| absolute.path());
        let name = percent_decode(path);
        let is_requested = is_path_of(path, url);
        if let Ok(name) = name.as_ref()
            && !is_requested
        {
            check_prefix(name, &format!("{}/", folder.trim_end_matches('/')))?;
        }
        // OpenDAL would take an invalid escape for a part of the name, and an escaped separator for the path of another
        // file.
        let Some(name) = name.ok().filter(|_| encoded_separators(path) <= encoded_separators(url.path())) else {
            tracing::debug!(href, "an entry of the listing is left out");
            left_out += 1;
            edits.push((entry.bytes, String::new()));
            continue;
        };
        // The folder of unfinished uploads is no entry of the store.
        let is_temporary = name.strip_prefix(root).is_some_and(|path| path.trim_end_matches('/') == TEMPORARY_FOLDER);
        entry.name = Some(name);
        // The requested folder or file itself must be there, so OpenDAL rejects it if it is incomplete.
        let is_complete = entry.has_complete_properties || is_requested;
        let is_kept = is_temporary || (is_complete && entry.is_addressable(root));
        if !is_kept {
            tracing::debug!(href, "an entry of the listing is left out");
            left_out += 1;
            edits.push((entry.bytes, String::new()));
        } else if let Some(absolute) = &absolute {
            edits.push((entry.name_bytes, escape(absolute.path()).into_owned()));
        }
    }
    Ok(Listing { body: edited(body, edits), left_out })
}

/// Returns the multistatus document `body` with only its responses about the file or folder at `url`. OpenDAL takes the
/// first response for the requested one. An error, in words, if there is none, or if the document cannot be read.
pub(crate) fn of_path(url: &Url, body: Bytes) -> Result<Bytes, String> {
    let entries = entries(&body, &[("response", "href")])?;
    let count = entries.len();
    // Behind a proxy, a server may not know its own origin.
    let is_requested =
        |href: &str| Url::parse(href).map_or_else(|_| is_path_of(href, url), |it| is_path_of(it.path(), url));
    let others = entries.into_iter().filter(|entry| !entry.name.as_deref().is_some_and(is_requested));
    let edits: Vec<Edit> = others.map(|entry| (entry.bytes, String::new())).collect();
    if edits.len() == count {
        return Err(format!(
            "the response is about other paths than {}; check the endpoint, and the proxies and gateways before the \
             service",
            url.path()
        ));
    }
    Ok(edited(body, edits))
}

/// Returns `true` if `path`, as a server spells it, is that of `url`. A final `/` and the spelling of escapes do not
/// count.
fn is_path_of(path: &str, url: &Url) -> bool {
    let components = |path: &str| {
        let components = path.split('/').filter(|component| !component.is_empty());
        components.map(|component| percent_decode(component).ok()).collect::<Option<Vec<String>>>()
    };
    let components_of_path = components(path);
    components_of_path.is_some() && components_of_path == components(url.path())
}

/// Returns the number of `/` that are part of a component of `path`.
fn encoded_separators(path: &str) -> usize {
    path.as_bytes().windows(3).filter(|escape| escape.eq_ignore_ascii_case(b"%2f")).count()
}

/// Checks the names of a listing of Google Cloud Storage.
fn objects_of_gcs(prefix: &str, root: &str, body: &[u8]) -> Result<Listing, String> {
    let mut listing: serde_json::Map<String, Value> = serde_json::from_slice(body).map_err(unreadable)?;
    let mut left_out = 0;
    for (member, is_prefix) in [("items", false), ("prefixes", true)] {
        let Some(Value::Array(entries)) = listing.get_mut(member) else { continue };
        for entry in &*entries {
            check_prefix(name_of_gcs(entry)?, prefix)?;
        }
        let before = entries.len();
        entries.retain(|entry| {
            let name = name_of_gcs(entry).unwrap_or_default();
            let is_small = entry.as_object().is_none_or(|object| object.values().all(is_small));
            is_small && name.len() <= MAX_ENTRY && (!is_prefix || name.ends_with('/')) && is_addressable(name, root)
        });
        left_out += (before - entries.len()) as u64;
    }
    let body = serde_json::to_vec(&listing).map_err(unreadable)?;
    Ok(Listing { body: body.into(), left_out })
}

/// Returns the name of an object of Google Cloud Storage, or a prefix.
fn name_of_gcs(entry: &Value) -> Result<&str, String> {
    let name = entry.get("name").unwrap_or(entry);
    name.as_str().ok_or_else(|| unreadable("an entry without a name"))
}

fn is_small(value: &Value) -> bool {
    value.as_str().is_none_or(|text| text.len() <= MAX_ENTRY)
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
fn entries(body: &[u8], elements: &[(&'static str, &'static str)]) -> Result<Vec<Entry>, String> {
    let mut reader = Reader::from_str(std::str::from_utf8(body).map_err(unreadable)?);
    reader.config_mut().expand_empty_elements = true;
    let (mut entries, mut current, mut names) = (Vec::new(), None::<(Entry, &'static str, usize)>, Vec::new());
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
                    let entry = Entry { bytes: before..before, element: entry, ..Entry::default() };
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
                        "propstat" => {
                            let properties = std::mem::take(&mut entry.properties);
                            entry.has_complete_properties |= properties.are_complete();
                        }
                        _ => {}
                    }
                } else {
                    entry.properties.set(&name, &mut text);
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

fn unreadable(problem: impl std::fmt::Display) -> String {
    format!("the listing cannot be read ({problem}); check that the endpoint is that of the service")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks a listing of a store whose root is that of the service, or the folder `dav`.
    fn list(service: Service, name: &str, url: &str, body: &str) -> Result<(String, u64), String> {
        let root = if service == Service::Webdav { "/dav/" } else { "" };
        let listing = checked(service, name, &url.parse().unwrap(), root, Bytes::copy_from_slice(body.as_bytes()))?;
        Ok((String::from_utf8(listing.body.to_vec()).unwrap(), listing.left_out))
    }

    fn s3(body: &str) -> Result<(String, u64), String> {
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
            "<Contents/>".to_owned(),
            "<CommonPrefixes/>".to_owned(),
            "<CommonPrefixes><Prefix>d/e</Prefix></CommonPrefixes>".to_owned(),
            file(&format!("d/{}", "k".repeat(MAX_ENTRY))),
            file("d/b").replace("<Size>", &format!("<ETag>{}</ETag><Size>", "e".repeat(MAX_ENTRY))),
        ] {
            assert_eq!(s3(&result(&[&good, &odd, &last])).unwrap(), (result(&[&good, &last]), 1), "{odd}");
        }
    }

    const UNADDRESSABLE: [&str; 8] =
        ["d//", "d//b", "d/./b", "d/../b", "d/b//", "d/ b", "d/b\\c", "d/.filestore-tmp/x"];

    #[test]
    fn an_entry_that_no_reference_can_address_is_left_out_of_every_listing() {
        for key in UNADDRESSABLE {
            let good = file("d/a");
            assert_eq!(s3(&result(&[&good, &file(key)])).unwrap(), (result(&[&good]), 1), "{key}");

            let blob = |name: &str| format!("<Blob><Name>{name}</Name></Blob>");
            let blobs = |blobs: &str| format!("<EnumerationResults><Blobs>{blobs}</Blobs></EnumerationResults>");
            let azure = list(Service::Other, "ListBlobs", "http://h/c?prefix=d/", &blobs(&(blob("d/a") + &blob(key))));
            assert_eq!(azure.unwrap(), (blobs(&blob("d/a")), 1), "{key}");

            let listing =
                serde_json::json!({ "items": [{ "name": "d/a" }, { "name": key }], "prefixes": ["d/e/", key] });
            let (body, left_out) =
                list(Service::Other, "ListObjects", "http://h/o?prefix=d/", &listing.to_string()).unwrap();
            let expected = serde_json::json!({ "items": [{ "name": "d/a" }], "prefixes": ["d/e/"] });
            assert_eq!((serde_json::from_str::<Value>(&body).unwrap(), left_out), (expected, 2), "{key}");
        }
        // At the root of the bucket, OpenDAL would take these for `lead` and for the root.
        let root = |key: &str| list(Service::S3, "ListObjectsV2", "http://h/b?list-type=2", &result(&[&file(key)]));
        for key in ["/lead", "/"] {
            assert_eq!(root(key).unwrap(), (result(&[]), 1), "{key}");
        }
    }

    #[test]
    fn a_listing_below_the_root_of_the_store_is_checked_from_there() {
        let url = "http://h/b?prefix=my%2F%2Froot%2F".parse().unwrap();
        let body = |key: &str| Bytes::from(result(&[&file(key)]));
        let left_out =
            |key: &str| checked(Service::S3, "ListObjectsV2", &url, "my//root/", body(key)).unwrap().left_out;
        assert_eq!(["my//root/", "my//root/a", "my//root//a"].map(left_out), [0, 0, 1]);
    }

    #[test]
    fn the_temporary_folder_of_webdav_is_no_entry_that_is_left_out() {
        let dav = |href: &str| {
            let body = multistatus(href, PROPERTIES);
            list(Service::Webdav, "Propfind", "http://h/dav/", &body).unwrap().1
        };
        assert_eq!(["/dav/.filestore-tmp/", "/dav/a%5Cb", "/dav/a%20", "/dav/a"].map(dav), [0, 1, 1, 0]);
        assert_eq!(["/dav/100%", "/dav/%zz", "/dav/%FF", "/elsewhere/%FF", "/dav/%25"].map(dav), [1, 1, 1, 1, 0]);
    }

    #[test]
    fn a_response_of_webdav_is_of_the_folder_and_its_url_becomes_a_path() {
        let dav = |href: &str| {
            let body = multistatus(href, PROPERTIES);
            list(Service::Webdav, "Propfind", "http://h:80/dav/my%20d/", &body)
        };
        for href in ["/dav/my%20d/", "/dav/my%20d", "/dav/my%20d/a", "/dav/my d/%61"] {
            assert!(dav(href).unwrap().0.contains(&format!(">{href}<")), "{href}");
        }
        for (href, path) in [("a", "a"), ("R&amp;D", "R&amp;D"), ("R&amp;amp;D;", "R&amp;amp;D;")] {
            let (body, _) = dav(&format!("http://h/dav/my%20d/{href}")).unwrap();
            assert!(body.contains(&format!(">/dav/my%20d/{path}<")), "{body}");
        }
        for href in ["/", "/dav/", "/dav/my%20d2/a", "/dav/other", "http://other/dav/my%20d/a", "a", ""] {
            assert!(dav(href).is_err(), "{href}");
        }
    }

    #[test]
    fn an_entry_of_webdav_whose_name_has_a_separator_is_left_out() {
        let dav = |href: &str| list(Service::Webdav, "Propfind", "http://h/dav/my/", &multistatus(href, PROPERTIES));
        // The last one is not the folder itself.
        for href in ["/dav/my/a%2Fb", "/dav/my/a%2fb/", "/dav/my/a%2F", "http://h/dav/my/%2Fa", "/dav%2Fmy/"] {
            assert_eq!(dav(href).unwrap().1, 1, "{href}");
        }
        assert!(dav("/dav/other%2Fa").is_err());
        let (body, left_out) =
            list(Service::Webdav, "Propfind", "http://h/dav%2Fmy/", &multistatus("/dav%2fmy/a", PROPERTIES)).unwrap();
        assert!(left_out == 0 && body.contains("/dav%2fmy/a"), "{body}");
    }

    #[test]
    fn the_response_to_a_stat_of_webdav_is_of_the_requested_path() {
        let url: Url = "http://h/dav/my%20d/%C3%BC".parse().unwrap();
        let stat = |body: String| of_path(&url, body.into()).map(|body| String::from_utf8(body.to_vec()).unwrap());
        for href in [
            "/dav/my%20d/%C3%BC",
            "/dav/my%20d/%c3%bc/",
            "/dav/my d/ü",
            "/dav//my%20d/%C3%BC",
            "http://h/dav/my%20d/ü",
            "https://behind.a.proxy/dav/my%20d/%C3%BC/",
        ] {
            let body = multistatus(href, PROPERTIES);
            assert_eq!(stat(body.clone()).unwrap(), body, "{href}");
        }
        for href in ["/dav/my%20d/", "/dav/my%20d/%C3%BC/a", "/dav/my%20d%2F%C3%BC", "/", "", "%", "/dav/my%20d/%FC"] {
            assert!(stat(multistatus(href, PROPERTIES)).unwrap_err().contains("about other paths"), "{href}");
        }
        // OpenDAL reads the first response.
        let response = |href: &str| format!("<response><href>{href}</href></response>");
        let (other, requested) = (response("/dav/"), response("/dav/my%20d/%C3%BC"));
        let body = stat(format!("<multistatus>{other}{requested}{other}</multistatus>")).unwrap();
        assert_eq!(body, format!("<multistatus>{requested}</multistatus>"));
    }

    const PROPERTIES: &str = "<D:propstat><D:prop><D:getlastmodified>Fri, 02 Jan 2026 03:04:05 GMT</D:getlastmodified>\
                              <D:getcontentlength>1</D:getcontentlength></D:prop>\
                              <D:status>HTTP/1.1 200 OK</D:status></D:propstat>";

    fn multistatus(href: &str, properties: &str) -> String {
        format!(
            r#"<D:multistatus xmlns:D="DAV:"><D:response><D:href>{href}</D:href>{properties}</D:response></D:multistatus>"#
        )
    }

    #[test]
    fn a_response_of_webdav_that_opendal_cannot_read_is_left_out() {
        let left_out = |href: &str, properties: &str| {
            list(Service::Webdav, "Propfind", "http://h/dav/", &multistatus(href, properties)).unwrap().1
        };
        let missing = "<D:propstat><D:prop><D:quota/></D:prop><D:status>HTTP/1.1 404 Not Found</D:status></D:propstat>";
        let folder = PROPERTIES
            .replace("<D:getcontentlength>1</D:getcontentlength>", "<D:resourcetype><D:collection/></D:resourcetype>");
        for complete in
            [PROPERTIES.to_owned(), folder, format!("{missing}{PROPERTIES}"), format!("{PROPERTIES}{missing}")]
        {
            assert_eq!(left_out("/dav/a", &complete), 0, "{complete}");
        }
        for incomplete in [
            "<D:status>HTTP/1.1 403 Forbidden</D:status>".to_owned(),
            PROPERTIES.replace("200 OK", "403 Forbidden"),
            PROPERTIES.replace("<D:getcontentlength>1</D:getcontentlength>", ""),
            PROPERTIES.replace(">1<", ">-1<"),
            PROPERTIES.replace("Fri", "Sun"),
            PROPERTIES.replace("getlastmodified", "creationdate"),
            missing.to_owned(),
        ] {
            assert_eq!(left_out("/dav/a", &incomplete), 1, "{incomplete}");
            // The folder itself must be there.
            assert_eq!(left_out("/dav/", &incomplete), 0, "{incomplete}");
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
