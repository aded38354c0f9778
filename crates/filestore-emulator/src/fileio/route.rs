//! The routes of file.io: paths and methods.

use http::Method;

use crate::service::{ServiceName, Target};

/// The route of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Upload,
    List,
    Me,
    Download {
        key: String,
        /// `true` for `/KEY/dwnld`, which never redirects to the landing page.
        direct: bool,
    },
    Head {
        key: String,
    },
    Replace {
        key: String,
    },
    Update {
        key: String,
    },
    Delete {
        key: String,
    },
    Landing {
        key: String,
    },
    Help {
        topic: String,
    },
    Preflight,
    WrongMethod {
        allow: &'static str,
    },
    Unknown,
}

impl Route {
    pub(crate) fn of(method: &Method, path: &str) -> Self {
        if method == Method::OPTIONS {
            return Route::Preflight;
        }
        let reads = matches!(*method, Method::GET | Method::HEAD);
        let path = path.strip_prefix('/').unwrap_or(path);
        match path.split('/').collect::<Vec<_>>()[..] {
            [""] if *method == Method::POST => Route::Upload,
            [""] if reads => Route::List,
            [""] => Route::WrongMethod { allow: "GET, HEAD, OPTIONS, POST" },
            ["me"] if reads => Route::Me,
            ["help", ..] if reads => Route::Help { topic: path.to_owned() },
            ["download", key] if reads => Route::Landing { key: key.to_owned() },
            ["me" | "help", ..] | ["download", _] => Route::WrongMethod { allow: "GET, HEAD, OPTIONS" },
            [key, "dwnld"] if *method == Method::GET => Route::Download { key: key.to_owned(), direct: true },
            [key, "dwnld"] if reads => Route::Head { key: key.to_owned() },
            [_, "dwnld"] => Route::WrongMethod { allow: "GET, HEAD, OPTIONS" },
            [key] => Self::of_key(method, key.to_owned()),
            _ => Route::Unknown,
        }
    }

    fn of_key(method: &Method, key: String) -> Self {
        match *method {
            Method::GET => Route::Download { key, direct: false },
            Method::HEAD => Route::Head { key },
            Method::PUT => Route::Replace { key },
            Method::PATCH => Route::Update { key },
            Method::DELETE => Route::Delete { key },
            _ => Route::WrongMethod { allow: "DELETE, GET, HEAD, OPTIONS, PATCH, PUT" },
        }
    }

    /// Returns the operation for fault rules and the journal.
    pub(crate) fn target(&self) -> Target {
        let operation = match self {
            Route::Upload => "upload",
            Route::List => "list",
            Route::Me => "me",
            Route::Download { .. } => "download",
            Route::Head { .. } => "head",
            Route::Replace { .. } => "replace",
            Route::Update { .. } => "update",
            Route::Delete { .. } => "delete",
            Route::Landing { .. } => "landing",
            Route::Help { .. } => "help",
            Route::Preflight => "preflight",
            Route::WrongMethod { .. } | Route::Unknown => "other",
        };
        Target { service: ServiceName::Fileio, operation, step: None, part: None, key: self.key().map(str::to_owned) }
    }

    /// Returns the key or id in the path.
    pub(crate) fn key(&self) -> Option<&str> {
        match self {
            Route::Download { key, .. }
            | Route::Head { key }
            | Route::Replace { key }
            | Route::Update { key }
            | Route::Delete { key }
            | Route::Landing { key } => Some(key),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_has_a_route_and_a_name() {
        for (method, path, operation) in [
            (Method::POST, "/", "upload"),
            (Method::GET, "/", "list"),
            (Method::GET, "/me", "me"),
            (Method::GET, "/Ab12Cd34Ef56", "download"),
            (Method::GET, "/Ab12Cd34Ef56/dwnld", "download"),
            (Method::HEAD, "/Ab12Cd34Ef56", "head"),
            (Method::PUT, "/Ab12Cd34Ef56", "replace"),
            (Method::PATCH, "/Ab12Cd34Ef56", "update"),
            (Method::DELETE, "/Ab12Cd34Ef56", "delete"),
            (Method::GET, "/download/Ab12Cd34Ef56", "landing"),
            (Method::GET, "/help/api/errors/FILE_NOT_FOUND", "help"),
            (Method::OPTIONS, "/Ab12Cd34Ef56", "preflight"),
            (Method::PUT, "/", "other"),
            (Method::POST, "/Ab12Cd34Ef56", "other"),
            (Method::GET, "/a/b", "other"),
        ] {
            assert_eq!(Route::of(&method, path).target().operation, operation, "{method} {path}");
            assert!(ServiceName::Fileio.operations().iter().any(|known| known.name == operation));
        }
    }
}
