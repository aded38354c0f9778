//! A stub of WebDAV, like the module of a web server.

use std::collections::{BTreeMap, BTreeSet};

use super::{Protocol, Received, Reply};

#[derive(Debug, Default)]
pub struct Webdav {
    files: BTreeMap<String, (Vec<u8>, u32)>,
    folders: BTreeSet<String>,
    counter: u32,
    /// The URL of a folder redirects to the same URL with a slash at its end.
    pub redirects_folders: bool,
    /// The second half of an upload is lost.
    pub truncates: bool,
    /// Another client stores a file of this name whenever an upload arrives.
    pub rival: Option<String>,
    /// All ETags are weak.
    pub weak: bool,
    /// A moved file is lost.
    pub loses_moved: bool,
    /// A moved file keeps its ETag.
    pub keeps_etags: bool,
    /// The response to every move has status 204, as if it replaced a file.
    pub always_replaces: bool,
    /// The response to every PROPFIND without `Depth: 1` is about this folder.
    pub confuses_with: Option<String>,
}

impl Webdav {
    /// Creates a server with these files and their folders.
    pub fn with(files: &[(&str, &str)]) -> Self {
        let mut webdav = Self::default();
        for (path, content) in files {
            for (at, _) in path.match_indices('/') {
                webdav.folders.insert(path[..at].to_owned());
            }
            webdav.put(path, content.as_bytes().to_vec());
        }
        webdav
    }

    fn put(&mut self, path: &str, content: Vec<u8>) {
        self.counter += 1;
        self.files.insert(path.to_owned(), (content, self.counter));
    }

    fn etag(&self, number: u32) -> String {
        format!("{}\"{number}\"", if self.weak { "W/" } else { "" })
    }

    fn is_folder(&self, path: &str) -> bool {
        path.is_empty() || self.folders.contains(path)
    }

    fn has_parent(&self, path: &str) -> bool {
        self.is_folder(path.rsplit_once('/').map_or("", |(parent, _)| parent))
    }

    fn properties(&self, path: &str) -> String {
        let (href, properties) = match self.files.get(path) {
            Some((content, number)) => (
                format!("/{path}"),
                format!(
                    "<D:resourcetype/><D:getcontentlength>{}</D:getcontentlength><D:getetag>{}</D:getetag>",
                    content.len(),
                    self.etag(*number)
                ),
            ),
            None if path.is_empty() => ("/".to_owned(), "<D:resourcetype><D:collection/></D:resourcetype>".to_owned()),
            None => (format!("/{path}/"), "<D:resourcetype><D:collection/></D:resourcetype>".to_owned()),
        };
        format!(
            "<D:response><D:href>{href}</D:href><D:propstat><D:prop>{properties}\
             <D:getlastmodified>Sun, 01 Mar 2026 10:00:00 GMT</D:getlastmodified></D:prop>\
             <D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>"
        )
    }

    fn propfind(&self, path: &str, request: &Received) -> Reply {
        let folder = self.is_folder(path);
        if !folder && !self.files.contains_key(path) && self.confuses_with.is_none() {
            return page(404);
        }
        if self.redirects_folders && folder && !request.path.ends_with('/') {
            return page(301)
                .header("location", format!("http://{}{}/", request.header("host").unwrap_or_default(), request.path));
        }
        if let Some(other) = self.confuses_with.as_deref().filter(|_| request.header("depth") == Some("0")) {
            let response = self.properties(other);
            return Reply::new(207).xml(format!("<D:multistatus xmlns:D=\"DAV:\">{response}</D:multistatus>"));
        }
        let mut responses = self.properties(path);
        if folder && request.header("depth") != Some("0") {
            let prefix = if path.is_empty() { String::new() } else { format!("{path}/") };
            let all = self.files.keys().chain(&self.folders).filter_map(|other| other.strip_prefix(&prefix));
            let deep = request.header("depth") == Some("infinity");
            let below: BTreeSet<&str> = all.filter(|rest| !rest.is_empty() && (deep || !rest.contains('/'))).collect();
            responses.extend(below.into_iter().map(|rest| self.properties(&format!("{prefix}{rest}"))));
        }
        Reply::new(207).xml(format!("<D:multistatus xmlns:D=\"DAV:\">{responses}</D:multistatus>"))
    }

    fn remove(&mut self, path: &str) -> Reply {
        let prefix = format!("{path}/");
        let exists = self.files.contains_key(path) || self.is_folder(path);
        self.files.retain(|other, _| other != path && !other.starts_with(&prefix));
        self.folders.retain(|other| other != path && !other.starts_with(&prefix));
        if exists { Reply::new(204) } else { page(404) }
    }
}

impl Protocol for Webdav {
    fn serve(&mut self, request: &Received) -> Reply {
        let path = request.path.trim_matches('/');
        match request.method.as_str() {
            "PROPFIND" => self.propfind(path, request),
            "PROPPATCH" => Reply::new(207).xml(
                "<D:multistatus xmlns:D=\"DAV:\"><D:response><D:propstat><D:status>HTTP/1.1 200 OK</D:status>\
                 </D:propstat></D:response></D:multistatus>",
            ),
            "MKCOL" if self.is_folder(path) || self.files.contains_key(path) => page(405),
            "MKCOL" | "PUT" if !self.has_parent(path) => page(409),
            "MKCOL" => {
                self.folders.insert(path.to_owned());
                page(201)
            }
            "PUT" => {
                let status = if self.files.contains_key(path) { 204 } else { 201 };
                let length = if self.truncates { request.body.len() / 2 } else { request.body.len() };
                self.put(path, request.body[..length].to_vec());
                if let Some(rival) = self.rival.clone() {
                    self.put(&rival, b"other".to_vec());
                }
                if status == 204 { Reply::new(204) } else { page(201) }
            }
            "GET" => match self.files.get(path) {
                Some((content, number)) => {
                    // A weak ETag never matches.
                    if request.header("if-match").is_some_and(|etag| self.weak || etag != self.etag(*number)) {
                        return page(412);
                    }
                    let reply = Reply::new(200).header("etag", self.etag(*number));
                    match request.range(content) {
                        Some((part, range)) => Reply { status: 206, ..reply }.header("content-range", range).body(part),
                        None => reply.body(content.clone()),
                    }
                }
                None => page(404),
            },
            "DELETE" => self.remove(path),
            "MOVE" => {
                let destination = request.header("destination").unwrap_or_default();
                let target = destination.splitn(4, '/').nth(3).unwrap_or_default().to_owned();
                let Some((content, number)) = self.files.get(path).cloned() else { return page(404) };
                if !self.has_parent(&target) {
                    return page(409);
                }
                let status = if self.files.contains_key(&target) { 204 } else { 201 };
                if status == 204 && request.header("overwrite") == Some("F") {
                    return page(412);
                }
                self.files.remove(path);
                if self.keeps_etags {
                    self.files.insert(target, (content, number));
                } else if !self.loses_moved {
                    self.put(&target, content);
                }
                if status == 204 || self.always_replaces { Reply::new(204) } else { page(201) }
            }
            _ => page(405),
        }
    }

    fn error(&self, status: u16, _: &Received) -> Reply {
        page(status)
    }

    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        self.files.iter().map(|(path, (content, _))| (path.clone(), content.clone())).collect()
    }
}

/// Returns a web page, which web servers send with every status.
fn page(status: u16) -> Reply {
    Reply::new(status).header("content-type", "text/html").body(format!("<html><title>{status}</title></html>"))
}
