//! The paths and methods of Files.com.

use http::Method;
use http::request::Parts;

use super::record::Operation as Transfer;
use super::{path, sign};
use crate::service::{ServiceName, Target};

/// The operation that a request is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Login,
    Logout,
    Path {
        action: PathAction,
        /// The path as in the URL, percent-encoded.
        raw: String,
        /// `true` for a method that the API does not have, but that a client sends.
        alias: bool,
    },
    Migration(String),
    Bundles,
    CreateBundle,
    Bundle(BundleAction, String),
    /// The page of a share link, `/f/CODE`.
    Share(String),
    /// A part of an upload, to the storage.
    Part {
        upload: String,
        path: String,
        number: u32,
    },
    /// A download, from the storage.
    Content {
        id: String,
        path: String,
    },
    WrongMethod,
    /// An endpoint that the emulator does not have. The service may have it.
    NotEmulated,
    Unknown,
    UnknownStorage,
}

/// An operation on a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PathAction {
    BeginUpload,
    PostFile,
    GetFile,
    Stat,
    List,
    Update,
    Delete,
    BeginDelete,
    Mkdir,
    Transfer(Transfer),
}

/// An operation on a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BundleAction {
    Get,
    Update,
    Delete,
    Share,
}

impl Route {
    pub(crate) fn of(head: &Parts) -> Self {
        let path = head.uri.path();
        if let Some(rest) = path.strip_prefix("/api/rest/v1/") {
            return Self::of_api(&head.method, rest);
        }
        if let Some(rest) = path.strip_prefix("/_storage/filescom/") {
            return Self::of_storage(head, rest);
        }
        match path.strip_prefix("/f/") {
            Some(code) if matches!(head.method, Method::GET | Method::HEAD | Method::POST) => {
                Route::Share(code.to_owned())
            }
            Some(_) => Route::WrongMethod,
            None => Route::Unknown,
        }
    }

    fn of_api(method: &Method, path: &str) -> Self {
        let method = if *method == Method::HEAD { &Method::GET } else { method };
        let (resource, rest) = path.split_once('/').unwrap_or((path, ""));
        let on = |action| Route::Path { action, raw: rest.to_owned(), alias: false };
        let alias = |action, raw: &str| Route::Path { action, raw: raw.to_owned(), alias: true };
        match (resource, method) {
            ("sessions", &Method::POST) => Route::Login,
            ("sessions", &Method::DELETE) => Route::Logout,
            ("files", &Method::POST) => on(PathAction::PostFile),
            ("files", &Method::GET) => on(PathAction::GetFile),
            ("files", &Method::PATCH) => on(PathAction::Update),
            ("files", &Method::DELETE) => on(PathAction::Delete),
            ("folders", &Method::GET) => on(PathAction::List),
            ("folders", &Method::POST) => on(PathAction::Mkdir),
            ("folders", &Method::DELETE) => alias(PathAction::Delete, rest),
            ("file_actions", _) => {
                let (name, raw) = rest.split_once('/').unwrap_or((rest, ""));
                let on = |action| Route::Path { action, raw: raw.to_owned(), alias: false };
                match (name, method) {
                    ("metadata", &Method::GET) => on(PathAction::Stat),
                    ("metadata", &Method::POST) => alias(PathAction::Stat, raw),
                    ("begin_upload", &Method::POST) => on(PathAction::BeginUpload),
                    ("copy", &Method::POST) => on(PathAction::Transfer(Transfer::Copy)),
                    ("move", &Method::POST) => on(PathAction::Transfer(Transfer::Move)),
                    ("delete", &Method::POST) => on(PathAction::BeginDelete),
                    ("metadata" | "begin_upload" | "copy" | "move" | "delete", _) => Route::WrongMethod,
                    _ => Route::NotEmulated,
                }
            }
            ("file_migrations", &Method::GET) => Route::Migration(rest.to_owned()),
            ("bundles", &Method::GET) if rest.is_empty() => Route::Bundles,
            ("bundles", &Method::POST) if rest.is_empty() => Route::CreateBundle,
            ("bundles", &Method::GET) => Route::Bundle(BundleAction::Get, rest.to_owned()),
            ("bundles", &Method::PATCH) => Route::Bundle(BundleAction::Update, rest.to_owned()),
            ("bundles", &Method::DELETE) => Route::Bundle(BundleAction::Delete, rest.to_owned()),
            ("bundles", &Method::POST) => match rest.strip_suffix("/share") {
                Some(id) => Route::Bundle(BundleAction::Share, id.to_owned()),
                None => Route::WrongMethod,
            },
            ("sessions" | "files" | "folders" | "file_migrations" | "bundles", _) => Route::WrongMethod,
            _ => Route::NotEmulated,
        }
    }

    fn of_storage(head: &Parts, path: &str) -> Self {
        match path.splitn(3, '/').collect::<Vec<_>>()[..] {
            ["uploads", upload, path] => Route::Part {
                upload: upload.to_owned(),
                path: sign::decode_path(path),
                number: sign::query_value(head, "partNumber").and_then(|number| number.parse().ok()).unwrap_or(0),
            },
            ["files", id, path] => Route::Content { id: id.to_owned(), path: sign::decode_path(path) },
            _ => Route::UnknownStorage,
        }
    }

    /// Returns `true` if the storage serves the request. Its errors are XML.
    pub(super) fn is_storage(&self) -> bool {
        matches!(self, Route::Part { .. } | Route::Content { .. } | Route::UnknownStorage)
    }

    pub(crate) fn target(&self) -> Target {
        let (operation, step) = match self {
            Route::Path { action, .. } => match action {
                PathAction::BeginUpload => ("upload", Some("begin")),
                PathAction::PostFile => ("upload", Some("finish")),
                PathAction::GetFile => ("download", Some("url")),
                PathAction::Stat => ("stat", None),
                PathAction::List => ("list", None),
                PathAction::Update => ("update", None),
                PathAction::Delete | PathAction::BeginDelete => ("delete", None),
                PathAction::Mkdir => ("mkdir", None),
                PathAction::Transfer(Transfer::Copy) => ("copy", None),
                PathAction::Transfer(Transfer::Move) => ("move", None),
                PathAction::Transfer(Transfer::Delete) => ("delete", None),
            },
            Route::Part { .. } => ("upload", Some("part")),
            Route::Content { .. } => ("download", Some("content")),
            Route::Migration(_) => ("migration", None),
            Route::Login | Route::Logout => ("session", None),
            Route::Bundles | Route::CreateBundle | Route::Bundle(..) | Route::Share(_) => ("bundle", None),
            Route::WrongMethod | Route::NotEmulated | Route::Unknown | Route::UnknownStorage => ("other", None),
        };
        let key = match self {
            Route::Path { raw, .. } => Some(path::display(raw)),
            Route::Part { path, .. } | Route::Content { path, .. } => Some(path.clone()),
            _ => None,
        };
        let part = match self {
            Route::Part { number, .. } => Some(*number),
            _ => None,
        };
        Target { service: ServiceName::Filescom, operation, step, part, key }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(method: &Method, path: &str) -> Target {
        let request = http::Request::builder().method(method).uri(path).body(()).unwrap();
        Route::of(&request.into_parts().0).target()
    }

    #[test]
    fn every_operation_has_a_route_and_a_name() {
        for (method, path, operation, step) in [
            (Method::POST, "begin_upload/a", "upload", Some("begin")),
            (Method::GET, "metadata/a", "stat", None),
            (Method::POST, "metadata/a", "stat", None),
            (Method::POST, "copy/a", "copy", None),
            (Method::POST, "move/a", "move", None),
            (Method::POST, "delete/a", "delete", None),
            (Method::PUT, "delete/a", "other", None),
        ] {
            let target = target(&method, &format!("/api/rest/v1/file_actions/{path}"));
            assert_eq!((target.operation, target.step), (operation, step), "{method} {path}");
        }
        for (method, path, operation, step) in [
            (Method::POST, "/api/rest/v1/files/a", "upload", Some("finish")),
            (Method::GET, "/api/rest/v1/files/a", "download", Some("url")),
            (Method::HEAD, "/api/rest/v1/files/a", "download", Some("url")),
            (Method::PATCH, "/api/rest/v1/files/a", "update", None),
            (Method::DELETE, "/api/rest/v1/files/a", "delete", None),
            (Method::GET, "/api/rest/v1/folders", "list", None),
            (Method::POST, "/api/rest/v1/folders/a", "mkdir", None),
            (Method::DELETE, "/api/rest/v1/folders/a", "delete", None),
            (Method::GET, "/api/rest/v1/file_migrations/1", "migration", None),
            (Method::POST, "/api/rest/v1/sessions", "session", None),
            (Method::DELETE, "/api/rest/v1/sessions", "session", None),
            (Method::POST, "/api/rest/v1/bundles", "bundle", None),
            (Method::POST, "/api/rest/v1/bundles/1/share", "bundle", None),
            (Method::GET, "/f/abc", "bundle", None),
            (Method::GET, "/_storage/filescom/files/put-1/a", "download", Some("content")),
            (Method::PUT, "/_storage/filescom/uploads/put-1/a?partNumber=7", "upload", Some("part")),
            (Method::GET, "/api/rest/v2/files/a", "other", None),
        ] {
            let target = target(&method, path);
            assert_eq!((target.operation, target.step), (operation, step), "{method} {path}");
            assert!(ServiceName::Filescom.operations().iter().any(|known| known.name == operation));
        }
    }

    #[test]
    fn the_key_is_the_decoded_path_and_a_part_has_its_number() {
        assert_eq!(target(&Method::GET, "/api/rest/v1/files/%2Fa%2Fb").key.as_deref(), Some("a/b"));
        assert_eq!(target(&Method::GET, "/api/rest/v1/files/a/b").key.as_deref(), Some("a/b"));
        let part = target(&Method::PUT, "/_storage/filescom/uploads/put-1/a/b?partNumber=7");
        assert_eq!((part.key.as_deref(), part.part), (Some("a/b"), Some(7)));
    }
}
