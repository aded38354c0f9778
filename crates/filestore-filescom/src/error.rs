//! What the service's rejections mean: one table by type, and what is left over by group and status.

use std::collections::BTreeMap;
use std::fmt;

use filestore_core::{Effect, Error, ErrorKind};
use filestore_http::Response;
use serde_json::{Map, Value};

use crate::wire;

/// There is no such file, folder or object. A 404 without this type is not the service's: a proxy's, a web site's.
pub(crate) const NOT_FOUND: &str = "not-found";
/// The unfinished upload is unknown: it lapsed, was finished, or belongs to another path.
pub(crate) const UPLOAD_NOT_FOUND: &str = "not-found/file-upload-not-found";
pub(crate) const DESTINATION_EXISTS: &str = "processing-failure/destination-exists";
pub(crate) const COULD_NOT_CREATE_PARENT: &str = "processing-failure/could-not-create-parent";

/// Types that mean something of their own. The others are known by their group.
const TYPES: &[(&str, ErrorKind, &str)] = &[
    (NOT_FOUND, ErrorKind::NotFound, "there is nothing, or it is hidden from this user"),
    (UPLOAD_NOT_FOUND, ErrorKind::Conflict, "the service does not know this unfinished upload (any more)"),
    ("not-found/bundle-path-not-found", ErrorKind::NotFound, "a path of the share link does not exist"),
    (DESTINATION_EXISTS, ErrorKind::AlreadyExists, "there is a file or folder of that name already"),
    (
        "processing-failure/destination-parent-does-not-exist",
        ErrorKind::NotFound,
        "the destination's folder is not there",
    ),
    ("processing-failure/destination-parent-conflict", ErrorKind::InvalidInput, "a folder cannot go into itself"),
    (
        COULD_NOT_CREATE_PARENT,
        ErrorKind::Conflict,
        "a folder above it could not be made; somebody else may be making it",
    ),
    ("processing-failure/folder-not-empty", ErrorKind::InvalidInput, "the folder is not empty; delete it recursively"),
    (
        "processing-failure/file-not-uploaded",
        ErrorKind::Integrity,
        "the service misses a part of the content, or has another one",
    ),
    (
        "processing-failure/file-uploaded-to-wrong-region",
        ErrorKind::Conflict,
        "the content went to another region; upload it again",
    ),
    (
        "processing-failure/file-pending-processing",
        ErrorKind::Unavailable,
        "the file is still being processed; try again later",
    ),
    (
        "processing-failure/agent-unavailable",
        ErrorKind::Unavailable,
        "the agent of this folder does not answer; try again later",
    ),
    (
        "processing-failure/remote-server-error",
        ErrorKind::Unavailable,
        "the remote server of this folder fails; try again later",
    ),
    ("processing-failure/destination-folder-limited", ErrorKind::Quota, "the folder takes no more files"),
    ("processing-failure/filename-too-long", ErrorKind::InvalidInput, "the name is too long"),
    ("processing-failure/path-too-long", ErrorKind::InvalidInput, "the path is too long"),
    ("processing-failure/invalid-filename", ErrorKind::InvalidInput, "the site does not allow this name"),
    ("processing-failure/invalid-file-type", ErrorKind::InvalidInput, "the site does not allow files of this type"),
    ("processing-failure/model-save-error", ErrorKind::InvalidInput, "the service does not accept a value"),
    (
        "processing-failure/metadata-not-supported-on-remotes",
        ErrorKind::Unsupported,
        "a mounted folder keeps no metadata",
    ),
    (
        "processing-failure/updates-not-allowed-for-remotes",
        ErrorKind::Unsupported,
        "a mounted folder takes no changes of time or metadata",
    ),
    ("processing-failure/file-locked", ErrorKind::Conflict, "the file is locked"),
    ("processing-failure/folder-locked", ErrorKind::Conflict, "the folder is locked"),
    ("processing-failure/subfolder-locked", ErrorKind::Conflict, "a folder below it is locked"),
    ("processing-failure/resource-locked", ErrorKind::Conflict, "it is locked"),
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
    ("bad-request/path-cannot-have-trailing-whitespace", ErrorKind::InvalidInput, "a name ends with white space"),
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
        "the service wants a one-time password, too",
    ),
    ("not-authorized/api-key-is-disabled", ErrorKind::Unauthenticated, "the API key is disabled"),
    ("not-authorized/api-key-is-path-restricted", ErrorKind::Permission, "the API key is for another folder"),
    ("not-authorized/read-only-session", ErrorKind::Permission, "the session may only read"),
    ("rate-limited/duplicate-share-recipient", ErrorKind::Conflict, "this person has it already"),
    ("service-unavailable/site-disabled", ErrorKind::Permission, "the site is disabled"),
    // Of proxied transfers, which have flat types.
    ("download_request_expired", ErrorKind::Unavailable, "the address of the content has expired"),
    ("upload_request_expired", ErrorKind::Unavailable, "the address of the part has expired"),
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
    ("not-found", ErrorKind::NotFound, "there is nothing, or it is hidden from this user"),
    ("processing-failure", ErrorKind::Other, "the service could not do it"),
    ("rate-limited", ErrorKind::RateLimited, "too many requests"),
    ("service-unavailable", ErrorKind::Unavailable, "the service does not do this at the moment; try again later"),
    ("site-configuration", ErrorKind::Permission, "the site's account or configuration does not allow this"),
];

/// For answers without a type.
const STATUSES: &[(u16, ErrorKind, &str)] = &[
    (400, ErrorKind::InvalidInput, "the service rejects the request"),
    (401, ErrorKind::Unauthenticated, "the service does not accept the credential; check api_key or log in again"),
    (403, ErrorKind::Permission, "the user or key may not do this"),
    (404, ErrorKind::NotFound, "there is nothing, or something other than the service answers; check base_url"),
    (405, ErrorKind::Protocol, "the service does not know this request; check base_url"),
    (408, ErrorKind::Timeout, "the service waited too long for the request"),
    (409, ErrorKind::Conflict, "somebody else changed it at the same time"),
    (412, ErrorKind::Conflict, "a condition of the request does not hold"),
    (413, ErrorKind::TooLarge, "the request is larger than the service accepts"),
    (422, ErrorKind::InvalidInput, "the service rejects the request"),
    (423, ErrorKind::Conflict, "it is locked"),
    (429, ErrorKind::RateLimited, "too many requests"),
    (501, ErrorKind::Unsupported, "the service does not know this request; check base_url"),
    (505, ErrorKind::Unsupported, "the service does not speak this version of HTTP; check base_url and the proxy"),
    (507, ErrorKind::Quota, "the service has no room left"),
    (511, ErrorKind::Protocol, "the network wants a login before it lets requests through"),
];

/// What the service said of a rejection, beyond what an [`Error`] has fields for. It is the error's
/// [`source`](std::error::Error::source); [`Rejection::of`] finds it.
///
/// The error's own `provider_code` is the [type](Self::type_name), its `request_id` the instance.
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
    /// The rejection behind an error; `None` where the service did not answer with one.
    pub fn of(error: &Error) -> Option<&Self> {
        std::error::Error::source(error)?.downcast_ref()
    }

    /// The type: group and name, such as `processing-failure/destination-exists`.
    pub fn type_name(&self) -> Option<&str> {
        self.type_name.as_deref()
    }

    /// The type in words for a person.
    pub fn title(&self) -> Option<&str> {
        self.title.as_deref()
    }

    /// The sentence of the service, in the language of the store's configuration.
    pub fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }

    /// More of it.
    pub fn detail(&self) -> Option<&str> {
        self.detail.as_deref()
    }

    /// The id of the request, for the service's support.
    pub fn instance(&self) -> Option<&str> {
        self.instance.as_deref()
    }

    /// Facts that go with the type. They may be secrets; `Debug` shows their names only.
    pub fn data(&self) -> &Map<String, Value> {
        &self.data
    }

    /// The problems one by one, where there are several.
    pub fn errors(&self) -> &[String] {
        &self.errors
    }

    /// The problems by the field that they are about.
    pub fn model_errors(&self) -> &BTreeMap<String, Vec<String>> {
        &self.model_errors
    }
}

impl Rejection {
    /// The same, without `secret` in the sentences of the service.
    fn without(mut self, secret: &str) -> Self {
        if secret.is_empty() {
            return self;
        }
        let sentences = [&mut self.title, &mut self.message, &mut self.detail].into_iter().flatten();
        let lists = self.errors.iter_mut().chain(self.model_errors.values_mut().flatten());
        for sentence in sentences.chain(lists) {
            *sentence = sentence.replace(secret, "...");
        }
        self
    }
}

impl From<wire::Rejected> for Rejection {
    fn from(wire: wire::Rejected) -> Self {
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
        let said = self.message.as_deref().or(self.title.as_deref()).unwrap_or("no reason given");
        f.write_str(&presentable(said))
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

/// Whether `error` is the service's rejection of this type.
pub(crate) fn is(error: &Error, type_name: &str) -> bool {
    error.provider_code() == Some(type_name)
}

/// Kind and sentence: by type, by group, by status.
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
        None if status >= 500 => (ErrorKind::Unavailable, "the service is failing; try again later"),
        None => (ErrorKind::Protocol, "the service answers what its protocol does not have"),
    }
}

/// The error of an answer of the API that is no success. The `secret` is not repeated.
pub(crate) async fn rejected(mut answer: Response, secret: Option<&str>) -> Error {
    let status = answer.status();
    if status.is_redirection() {
        let target = answer.location();
        let to = target.as_ref().and_then(url::Url::host_str).unwrap_or("nowhere").to_owned();
        let message = format!("the service redirects to {to}; set base_url to where the site really is");
        return answer.error(ErrorKind::Protocol, message);
    }
    if answer.is_rejection_by_page() {
        return answer.unexpected("JSON");
    }
    let body = answer.error_body().await;
    let wire: Option<wire::Rejected> = serde_json::from_slice(&body).ok();
    let rejection = wire.map(|wire| Rejection::from(wire).without(secret.unwrap_or_default()));
    let type_name = rejection.as_ref().and_then(Rejection::type_name);
    let (kind, sentence) = meaning(type_name, status.as_u16());
    let said = rejection.as_ref().map(|rejection| format!(": {rejection}")).unwrap_or_default();
    let mut error = answer.error(kind, format!("{sentence} (status {}){said}", status.as_u16()));
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

/// Whether the request of this rejection may be sent again as it is: nothing changed, and it is a state
/// that passes.
pub(crate) fn passes(error: &Error) -> bool {
    error.kind() == ErrorKind::Unavailable && error.effect() == Effect::Rejected && error.provider_code().is_some()
}

/// A text of the service that may be shown: one line, not long.
pub(crate) fn presentable(text: &str) -> String {
    filestore_http::presentable(text, &[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_decides_then_its_group_then_the_status() {
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
        let wire: wire::Rejected = serde_json::from_str(
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
