//! The service's rejections as errors: one table by type, and two by group and status for rejections of other types.

use std::collections::BTreeMap;
use std::fmt;

use filestore_core::{Effect, Error, ErrorKind};
use filestore_http::{Response, presentable};
use serde_json::{Map, Value};

use crate::wire;

/// The file, folder or object does not exist. A 404 without this type is not from the service, but from a proxy or a
/// web site.
pub(crate) const NOT_FOUND: &str = "not-found";
/// The unfinished upload is unknown: it expired, was finished, or belongs to another path.
pub(crate) const UPLOAD_NOT_FOUND: &str = "not-found/file-upload-not-found";
const INVALID_PATH: [&str; 2] = ["bad-request/path-cannot-have-trailing-whitespace", "bad-request/invalid-path"];
pub(crate) const DESTINATION_EXISTS: &str = "processing-failure/destination-exists";
pub(crate) const COULD_NOT_CREATE_PARENT: &str = "processing-failure/could-not-create-parent";

/// The types with their own kind and sentence. Other types have those of their group.
const TYPES: &[(&str, ErrorKind, &str)] = &[
    (NOT_FOUND, ErrorKind::NotFound, "it does not exist, or this user may not see it"),
    (
        UPLOAD_NOT_FOUND,
        ErrorKind::Conflict,
        "the service does not know this unfinished upload: it expired or was finished; upload the file again",
    ),
    ("not-found/bundle-path-not-found", ErrorKind::NotFound, "a path of the share link does not exist"),
    (DESTINATION_EXISTS, ErrorKind::AlreadyExists, "a file or folder of that name already exists"),
    (
        "processing-failure/destination-parent-does-not-exist",
        ErrorKind::NotFound,
        "the folder of the destination does not exist",
    ),
    ("processing-failure/destination-parent-conflict", ErrorKind::InvalidInput, "a folder cannot go into itself"),
    (
        COULD_NOT_CREATE_PARENT,
        ErrorKind::Conflict,
        "a parent folder could not be created; another request may be creating it",
    ),
    ("processing-failure/folder-not-empty", ErrorKind::InvalidInput, "the folder is not empty; delete it recursively"),
    (
        "processing-failure/file-not-uploaded",
        ErrorKind::Integrity,
        "the service lacks a part of the content, or has different content; upload it again",
    ),
    (
        "processing-failure/file-uploaded-to-wrong-region",
        ErrorKind::Conflict,
        "the content went to another region; upload it again",
    ),
    (
        "processing-failure/file-pending-processing",
        ErrorKind::Unavailable,
        "the file is still being processed; retry later",
    ),
    (
        "processing-failure/agent-unavailable",
        ErrorKind::Unavailable,
        "the agent of this folder does not respond; retry later",
    ),
    (
        "processing-failure/remote-server-error",
        ErrorKind::Unavailable,
        "the remote server of this folder fails; retry later",
    ),
    ("processing-failure/destination-folder-limited", ErrorKind::Quota, "the folder accepts no more files"),
    ("processing-failure/filename-too-long", ErrorKind::InvalidInput, "the name is too long"),
    ("processing-failure/path-too-long", ErrorKind::InvalidInput, "the path is too long"),
    ("processing-failure/invalid-filename", ErrorKind::InvalidInput, "the site does not allow this name"),
    ("processing-failure/invalid-file-type", ErrorKind::InvalidInput, "the site does not allow files of this type"),
    ("processing-failure/model-save-error", ErrorKind::InvalidInput, "the service does not accept a value"),
    (
        "processing-failure/metadata-not-supported-on-remotes",
        ErrorKind::Unsupported,
        "a mounted folder does not store metadata",
    ),
    (
        "processing-failure/updates-not-allowed-for-remotes",
        ErrorKind::Unsupported,
        "a mounted folder does not support changes of time or metadata",
    ),
    ("processing-failure/file-locked", ErrorKind::Conflict, "the file is locked"),
    ("processing-failure/folder-locked", ErrorKind::Conflict, "the folder is locked"),
    ("processing-failure/subfolder-locked", ErrorKind::Conflict, "a folder below it is locked"),
    ("processing-failure/resource-locked", ErrorKind::Conflict, "the file or folder is locked"),
    (
        "bad-request/cannot-download-directory",
        ErrorKind::InvalidInput,
        "this is a folder; download the files in it one by one",
    ),
    ("bad-request/folder-must-not-be-a-file", ErrorKind::InvalidInput, "a folder of the path is a file"),
    (
        "bad-request/invalid-cursor",
        ErrorKind::InvalidInput,
        "the page token is not one of this listing; list from the beginning",
    ),
    (
        "bad-request/path-cannot-have-trailing-whitespace",
        ErrorKind::InvalidInput,
        "a name ends with white space; remove it",
    ),
    ("bad-request/destination-same", ErrorKind::InvalidInput, "source and destination are the same"),
    ("bad-request/part-number-too-large", ErrorKind::TooLarge, "the file has more parts than the service accepts"),
    (
        "not-authenticated/invalid-username-or-password",
        ErrorKind::Unauthenticated,
        "the user name or the password is wrong",
    ),
    (
        "not-authenticated/one-time-password-incorrect",
        ErrorKind::Unauthenticated,
        "the one-time password is wrong or was used already",
    ),
    (
        "not-authenticated/two-factor-authentication-setup-expired",
        ErrorKind::Unauthenticated,
        "the second factor was not set up in time; set it up on the site",
    ),
    (
        "not-authenticated/locked-out",
        ErrorKind::Unauthenticated,
        "the user is locked out after failed attempts; wait, or ask the site's administrator",
    ),
    (
        "not-authenticated/lockout-region-mismatch",
        ErrorKind::Unauthenticated,
        "the user belongs to another server; set base_url to the one that the service names",
    ),
    (
        "not-authorized/two-factor-authentication-required",
        ErrorKind::Unauthenticated,
        "the service requires a one-time password",
    ),
    ("not-authorized/api-key-is-disabled", ErrorKind::Unauthenticated, "the API key is disabled"),
    ("not-authorized/api-key-is-path-restricted", ErrorKind::Permission, "the API key is restricted to another folder"),
    ("not-authorized/read-only-session", ErrorKind::Permission, "the session may only read"),
    ("rate-limited/duplicate-share-recipient", ErrorKind::Conflict, "this recipient already has the share link"),
    ("service-unavailable/site-disabled", ErrorKind::Permission, "the site is disabled"),
    // The types of proxied transfers have no group.
    ("download_request_expired", ErrorKind::Unavailable, "the presigned URL of the content has expired"),
    ("upload_request_expired", ErrorKind::Unavailable, "the presigned URL of the part has expired"),
    ("download_source_changed", ErrorKind::Integrity, "the file changed while it was read; read it again"),
];

const GROUPS: &[(&str, ErrorKind, &str)] = &[
    ("bad-request", ErrorKind::InvalidInput, "the service rejects the request"),
    (
        "not-authenticated",
        ErrorKind::Unauthenticated,
        "the service does not accept the credential; check api_key or log in again",
    ),
    ("not-authorized", ErrorKind::Permission, "the user or key may not do this"),
    ("not-found", ErrorKind::NotFound, "it does not exist, or this user may not see it"),
    ("processing-failure", ErrorKind::Other, "the service could not execute the request"),
    ("rate-limited", ErrorKind::RateLimited, "too many requests"),
    ("service-unavailable", ErrorKind::Unavailable, "the service is temporarily unavailable; retry later"),
    ("site-configuration", ErrorKind::Permission, "the site's account or configuration does not allow this"),
];

/// For responses without a type, and types of unknown groups.
const STATUSES: &[(u16, ErrorKind, &str)] = &[
    (400, ErrorKind::InvalidInput, "the service rejects the request"),
    (401, ErrorKind::Unauthenticated, "the service does not accept the credential; check api_key or log in again"),
    (403, ErrorKind::Permission, "the user or key may not do this"),
    (404, ErrorKind::NotFound, "it does not exist, or something other than the service responded; check base_url"),
    (405, ErrorKind::Protocol, "the service does not know this request; check base_url"),
    (408, ErrorKind::Timeout, "the service waited too long for the request"),
    (409, ErrorKind::Conflict, "another request changed it at the same time"),
    (412, ErrorKind::Conflict, "a condition of the request does not hold"),
    (413, ErrorKind::TooLarge, "the request is larger than the service accepts"),
    (422, ErrorKind::InvalidInput, "the service rejects the request"),
    (423, ErrorKind::Conflict, "the file or folder is locked"),
    (429, ErrorKind::RateLimited, "too many requests"),
    (501, ErrorKind::Unsupported, "the service does not know this request; check base_url"),
    (505, ErrorKind::Unsupported, "the service does not speak this version of HTTP; check base_url and the proxy"),
    (507, ErrorKind::Quota, "the service has no space left"),
    (511, ErrorKind::Protocol, "the network requires a login before it forwards requests; log in to the network"),
];

/// The service's response to a rejected request, with the fields that an [`Error`] does not have. It is the error's
/// [`source`](std::error::Error::source); [`Rejection::of`] returns it.
///
/// The error's `provider_code` is the [type](Self::type_name), its `request_id` the [instance](Self::instance).
#[derive(Clone)]
pub struct Rejection {
    type_name: Option<String>,
    title: Option<String>,
    message: Option<String>,
    detail: Option<String>,
    instance: Option<String>,
    data: Map<String, Value>,
    errors: Vec<String>,
    model_errors: BTreeMap<String, Vec<String>>,
}

impl Rejection {
    /// Returns the rejection that caused `error`; `None` if the service did not respond with one.
    pub fn of(error: &Error) -> Option<&Self> {
        std::error::Error::source(error)?.downcast_ref()
    }

    /// Returns the type, which is group and name, such as `processing-failure/destination-exists`.
    pub fn type_name(&self) -> Option<&str> {
        self.type_name.as_deref()
    }

    /// Returns a title for the type.
    pub fn title(&self) -> Option<&str> {
        self.title.as_deref()
    }

    /// Returns the message of the service, in the [`language`](crate::FilesComConfig::language) of the store's
    /// configuration.
    pub fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }

    /// Returns details beyond the message.
    pub fn detail(&self) -> Option<&str> {
        self.detail.as_deref()
    }

    /// Returns the id of the request, for the service's support.
    pub fn instance(&self) -> Option<&str> {
        self.instance.as_deref()
    }

    /// Returns the fields that belong to the type. Their values may be secrets; `Debug` shows their names only.
    pub fn data(&self) -> &Map<String, Value> {
        &self.data
    }

    /// Returns the single problems, if there are several.
    pub fn errors(&self) -> &[String] {
        &self.errors
    }

    /// Returns the problems by the name of the field.
    pub fn model_errors(&self) -> &BTreeMap<String, Vec<String>> {
        &self.model_errors
    }
}

impl Rejection {
    /// Returns the same rejection after `redact` has removed the secrets of the request from each text. The partial
    /// session of a login is unchanged: the login continues with it.
    fn redacted(self, redact: impl Fn(&str) -> String) -> Self {
        let text = |text: Option<String>| text.map(|text| redact(&text));
        let texts = |texts: Vec<String>| texts.iter().map(|text| redact(text)).collect();
        Self {
            // The code compares a known type with those in the tables, and it is no secret.
            type_name: self.type_name.map(|name| if is_known(&name) { name } else { redact(&name) }),
            title: text(self.title),
            message: text(self.message),
            detail: text(self.detail),
            instance: text(self.instance),
            data: self
                .data
                .into_iter()
                .map(|(name, value)| match name.as_str() {
                    wire::PARTIAL_SESSION_ID => (name, value),
                    wire::SECOND_FACTOR_METHODS => (name, redacted(value, &redact)),
                    _ => (redact(&name), redacted(value, &redact)),
                })
                .collect(),
            errors: texts(self.errors),
            model_errors: self.model_errors.into_iter().map(|(name, list)| (redact(&name), texts(list))).collect(),
        }
    }
}

/// Returns `value` after `redact` has changed each text in it.
fn redacted(value: Value, redact: &impl Fn(&str) -> String) -> Value {
    match value {
        Value::String(text) => Value::String(redact(&text)),
        Value::Array(values) => values.into_iter().map(|value| redacted(value, redact)).collect(),
        Value::Object(members) => {
            members.into_iter().map(|(name, value)| (redact(&name), redacted(value, redact))).collect()
        }
        other => other,
    }
}

/// Returns `true` for a type that the service documents.
fn is_known(type_name: &str) -> bool {
    TYPES.iter().any(|(known, ..)| *known == type_name) || INVALID_PATH.contains(&type_name)
}

impl From<wire::ErrorBody> for Rejection {
    fn from(wire: wire::ErrorBody) -> Self {
        let text = |value: Value| match value {
            Value::String(text) => Some(text),
            Value::Object(error) => error.get("error").and_then(Value::as_str).map(str::to_owned),
            _ => None,
        };
        Self {
            type_name: wire.kind,
            title: wire.title,
            message: wire.error,
            detail: wire.detail,
            instance: wire.instance,
            data: wire.data.unwrap_or_default(),
            errors: wire.errors.unwrap_or_default().into_iter().filter_map(text).collect(),
            model_errors: wire.model_errors.unwrap_or_default(),
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = self.message.as_deref().or(self.title.as_deref()).unwrap_or("no reason given");
        f.write_str(&presentable(message))
    }
}

impl fmt::Debug for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rejection")
            .field("type", &self.type_name)
            .field("title", &self.title)
            .field("instance", &self.instance)
            .field("data", &self.data.keys())
            .finish_non_exhaustive()
    }
}

impl std::error::Error for Rejection {}

/// Returns `true` if `error` is the service's rejection of this type.
pub(crate) fn is(error: &Error, type_name: &str) -> bool {
    error.provider_code() == Some(type_name)
}

/// Returns `true` if `error` is the service's rejection of a path.
pub(crate) fn is_invalid_path(error: &Error) -> bool {
    INVALID_PATH.iter().any(|type_name| is(error, type_name))
}

/// Returns kind and sentence, by type, else by group, else by status.
fn meaning(type_name: Option<&str>, status: u16) -> (ErrorKind, &'static str) {
    let of = |table: &[(&str, ErrorKind, &'static str)], name: &str| {
        table.iter().find(|(known, ..)| *known == name).map(|(_, kind, sentence)| (*kind, *sentence))
    };
    let typed = type_name.and_then(|name| of(TYPES, name).or_else(|| of(GROUPS, name.split('/').next()?)));
    if let Some(typed) = typed {
        return typed;
    }
    match STATUSES.iter().find(|(known, ..)| *known == status) {
        Some((_, kind, sentence)) => (*kind, sentence),
        None if status >= 500 => (ErrorKind::Unavailable, "the service fails; retry later"),
        None => (ErrorKind::Protocol, "the response has a status that the service's protocol does not define"),
    }
}

/// Returns the error for a response of the API that is not a success.
pub(crate) async fn rejected(mut response: Response) -> Error {
    let status = response.status();
    if status.is_redirection() {
        let target = response.location();
        let host = target.as_ref().and_then(url::Url::host_str).unwrap_or("an unknown host").to_owned();
        let message = format!("the service redirects to {host}; set base_url to the host of the site");
        return response.error(ErrorKind::Protocol, message);
    }
    if response.is_rejection_by_page() {
        return response.unexpected("JSON");
    }
    let body = response.error_body().await;
    let wire: Option<wire::ErrorBody> = serde_json::from_slice(&body).ok();
    let rejection = wire.map(|wire| Rejection::from(wire).redacted(|text| response.without_secrets(text)));
    let type_name = rejection.as_ref().and_then(Rejection::type_name);
    let (kind, sentence) = meaning(type_name, status.as_u16());
    let reason = rejection.as_ref().map(|rejection| format!(": {rejection}")).unwrap_or_default();
    let mut error = response.error(kind, format!("{sentence} (status {}){reason}", status.as_u16()));
    if let Some(type_name) = type_name {
        error = error.with_provider_code(presentable(type_name));
    }
    if let Some(instance) = rejection.as_ref().and_then(Rejection::instance) {
        error = error.with_request_id(presentable(instance));
    }
    match rejection {
        Some(rejection) => error.with_source(rejection),
        None => error,
    }
}

/// Returns `true` if the rejected request may be retried unchanged: it had no effect, and the state that caused the
/// rejection is temporary.
pub(crate) fn is_transient(error: &Error) -> bool {
    error.kind() == ErrorKind::Unavailable && error.effect() == Effect::Rejected && error.provider_code().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_follows_from_the_type_then_its_group_then_the_status() {
        let kind = |type_name: &str, status| meaning(Some(type_name), status).0;
        assert_eq!(kind("processing-failure/destination-exists", 422), ErrorKind::AlreadyExists);
        assert_eq!(kind("not-found", 404), ErrorKind::NotFound);
        assert_eq!(kind("not-found/site-not-found", 404), ErrorKind::NotFound);
        assert_eq!(kind("service-unavailable/uploads-unavailable", 422), ErrorKind::Unavailable);
        assert_eq!(kind("rate-limited/too-many-requests", 429), ErrorKind::RateLimited);
        assert_eq!(kind("bad-request/invalid-path", 400), ErrorKind::InvalidInput);
        assert_eq!(kind("something-new/of-2030", 403), ErrorKind::Permission);
        assert_eq!(meaning(None, 500).0, ErrorKind::Unavailable);
        assert_eq!(meaning(None, 501).0, ErrorKind::Unsupported);
        assert_eq!(meaning(None, 302).0, ErrorKind::Protocol);
    }

    #[test]
    fn debug_of_a_rejection_shows_the_names_of_its_data_and_not_the_values() {
        let wire: wire::ErrorBody = serde_json::from_str(
            r#"{"type":"a/b","data":{"partial_session_id":"CANARY"},"errors":["x",{"error":"y"}]}"#,
        )
        .unwrap();
        let rejection = Rejection::from(wire);
        assert_eq!(rejection.errors(), ["x", "y"]);
        assert_eq!(rejection.data()["partial_session_id"], "CANARY");
        let shown = format!("{rejection:?} {rejection}");
        assert!(shown.contains("partial_session_id") && !shown.contains("CANARY"), "{shown}");
    }
}
