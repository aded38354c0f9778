//! The client of the API. Each function call sends one request with one credential; every rejection is an error.

use std::marker::PhantomData;
use std::sync::Arc;

use filestore_core::{Account, Effect, Error, ErrorKind, Result, check_secret};
use filestore_http::header::{ACCEPT_LANGUAGE, HeaderName, HeaderValue};
use filestore_http::{
    Attempts, Clock, HttpClient, Idempotency, JSON_LIMIT, Method, Request, RequestBody, Response, secret_header,
    url_below,
};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde::de::{DeserializeOwned, DeserializeSeed};
use url::Url;

use crate::config::{API_PATH, FilesComConfig};
use crate::error::{self, NOT_FOUND};
use crate::path::SitePath;
use crate::wire::Entry;

const KEY_HEADER: HeaderName = HeaderName::from_static("x-filesapi-key");
const SESSION_HEADER: HeaderName = HeaderName::from_static("x-filesapi-auth");
const WORKSPACE_HEADER: HeaderName = HeaderName::from_static("x-files-workspace-id");

/// The credential of a user. A request carries exactly one.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Credential {
    /// An API key.
    ApiKey(SecretString),
    /// The id of a session.
    Session(SecretString),
}

/// A client of the API with the credential of one user. Cheap to clone; clones share connections, rate limit and retry
/// budget.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    http: HttpClient,
    base: Url,
    credential: Option<Credential>,
    /// The header of the credential.
    header: Option<(HeaderName, HeaderValue)>,
    workspace: Option<HeaderValue>,
    language: Option<HeaderValue>,
}

impl Api {
    pub(crate) fn new(config: &FilesComConfig, clock: Arc<dyn Clock>) -> Result<Self> {
        let base = config.check()?;
        let credential = match (&config.api_key, &config.session_id) {
            (Some(_), Some(_)) => {
                return Err(Error::config("api_key and session_id are both set; the service accepts one of them"));
            }
            (Some(key), None) => Some(Credential::ApiKey(key.clone())),
            (None, Some(session)) => Some(Credential::Session(session.clone())),
            (None, None) => None,
        };
        let language = config.language.as_deref().map(HeaderValue::try_from).transpose();
        let api = Self {
            http: HttpClient::with_clock(&config.http, &base, clock)?,
            base,
            credential: None,
            header: None,
            workspace: config.workspace_id.map(HeaderValue::from),
            language: language.map_err(|_| Error::config("language cannot be a header; write it like de"))?,
        };
        api.with_credential(credential)
    }

    /// Returns the same client with another credential; `None`: without one, as a login needs it. *Invalid input* if
    /// the credential is empty, *config* if it cannot be a header.
    pub(crate) fn with_credential(&self, credential: Option<Credential>) -> Result<Self> {
        let header = match &credential {
            Some(Credential::ApiKey(key)) => Some((KEY_HEADER, "api_key", key)),
            Some(Credential::Session(id)) => Some((SESSION_HEADER, "session_id", id)),
            None => None,
        };
        let header = header.map(|(header, name, secret)| {
            check_secret(name, secret.expose_secret())?;
            Ok::<_, Error>((header, secret_header(secret.expose_secret())?))
        });
        let header = header.transpose()?;
        Ok(Self { credential, header, ..self.clone() })
    }

    /// Returns the same client for another workspace.
    pub(crate) fn with_workspace(&self, workspace: Option<u64>) -> Self {
        Self { workspace: workspace.map(HeaderValue::from), ..self.clone() }
    }

    pub(crate) fn credential(&self) -> Option<&Credential> {
        self.credential.as_ref()
    }

    /// Returns what two stores have in common whose files the service can copy from one to the other.
    pub(crate) fn account(&self) -> Option<Account> {
        let (kind, secret) = match self.credential()? {
            Credential::ApiKey(key) => ("key", key),
            Credential::Session(id) => ("session", id),
        };
        let workspace = self.workspace.as_ref().and_then(|workspace| workspace.to_str().ok()).unwrap_or_default();
        Some(Account::new([self.base.as_str(), kind, secret.expose_secret(), workspace]))
    }

    pub(crate) fn http(&self) -> &HttpClient {
        &self.http
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        self.http.clock()
    }

    pub(crate) fn base(&self) -> &Url {
        &self.base
    }

    /// Creates a request with `method` to `/api/rest/v1/ENDPOINT/PATH`. `idempotency` tells the effect of a retry.
    /// *Unauthenticated* if there is no credential.
    pub(crate) fn request(
        &self,
        method: Method,
        endpoint: &str,
        path: &SitePath,
        idempotency: Idempotency,
    ) -> Result<Request> {
        let Some((name, value)) = self.header.clone() else {
            return Err(Error::new(
                ErrorKind::Unauthenticated,
                Effect::NotSent,
                "the service requires a credential; set api_key, or log in and set session_id",
            ));
        };
        Ok(self.anonymous_request(method, endpoint, path, idempotency).credential(name, value))
    }

    /// Creates the same request as [`request`](Self::request), without a credential.
    pub(crate) fn anonymous_request(
        &self,
        method: Method,
        endpoint: &str,
        path: &SitePath,
        idempotency: Idempotency,
    ) -> Request {
        let mut below = format!("{API_PATH}{endpoint}");
        path.encode_below(&mut below);
        let mut request = Request::new(method, url_below(&self.base, &below), idempotency).buffered();
        if let Some(workspace) = &self.workspace {
            request = request.header(WORKSPACE_HEADER, workspace.clone());
        }
        if let Some(language) = &self.language {
            request = request.header(ACCEPT_LANGUAGE, language.clone());
        }
        request
    }

    /// Sends `request` and returns the response of a success. Every other response is an error, with its kind from the
    /// tables in `error.rs`.
    pub(crate) async fn send(&self, request: Request) -> Result<Response> {
        self.send_within(request, &mut Attempts::new()).await
    }

    /// [`send`](Self::send) with the attempts that `attempts` has left.
    pub(crate) async fn send_within(&self, request: Request, attempts: &mut Attempts) -> Result<Response> {
        let response = self.http.send_within(request, attempts).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        let error = error::rejected(response).await;
        Err(match &self.credential {
            Some(Credential::Session(_)) if error.kind() == ErrorKind::Unauthenticated => {
                error.with_note("the session has ended or never existed; log in again")
            }
            _ => error,
        })
    }

    /// Sends a request that deletes a file or ends a session or share link. It succeeds if the service responds with
    /// 204, as documented, or that the object does not exist.
    pub(crate) async fn remove(&self, request: Request) -> Result<()> {
        match self.send(request).await {
            Ok(response) if response.status().as_u16() == 204 => Ok(()),
            Ok(response) => Err(response.unexpected("status 204")),
            Err(error) if error.http_status() == Some(404) && error::is(&error, NOT_FOUND) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Sends `request` and returns the JSON of the response.
    pub(crate) async fn send_for_json<T: DeserializeOwned>(&self, request: Request) -> Result<T> {
        read(&mut self.send(request).await?).await
    }

    /// Sends `request` and returns the file or folder at `at` that the response describes. *Protocol* if the response
    /// describes another entry, or has no path. Only a 201 may lack the path: a mounted server may leave it out.
    pub(crate) async fn send_for_entry(&self, request: Request, at: &SitePath) -> Result<Box<Entry>> {
        self.send_for_entry_within(request, Some(at), None, &mut Attempts::new()).await
    }

    /// [`send_for_entry`](Self::send_for_entry) with the attempts that `attempts` has left. `folder` is `true` where
    /// the entry must be a folder, `false` where it must be a file. Without `at`, the service chooses the path.
    pub(crate) async fn send_for_entry_within(
        &self,
        request: Request,
        at: Option<&SitePath>,
        folder: Option<bool>,
        attempts: &mut Attempts,
    ) -> Result<Box<Entry>> {
        // A GET creates nothing.
        let may_create = request.method() != Method::GET;
        let mut response = self.send_within(request, attempts).await?;
        let entry: Box<Entry> = read(&mut response).await?;
        if entry.path.is_none() && !(may_create && response.status().as_u16() == 201) {
            return Err(response.unexpected("JSON that names the file or folder"));
        }
        if at.is_some_and(|at| !entry.may_be_at(at)) {
            return Err(response.unexpected("JSON of the requested file or folder"));
        }
        if folder.is_some_and(|folder| entry.kind.is_some() && entry.is_folder() != folder) {
            return Err(response.unexpected(if folder == Some(true) { "a folder" } else { "a file" }));
        }
        Ok(entry)
    }

    /// [`send_for_json`](Self::send_for_json) with the attempts that `attempts` has left.
    pub(crate) async fn send_for_json_within<T: DeserializeOwned>(
        &self,
        request: Request,
        attempts: &mut Attempts,
    ) -> Result<T> {
        read(&mut self.send_within(request, attempts).await?).await
    }
}

/// Returns the JSON of `response`. *Protocol* if it is not JSON.
pub(crate) async fn read<T: DeserializeOwned>(response: &mut Response) -> Result<T> {
    read_into(response, PhantomData::<T>).await
}

/// [`read`] for a `seed` that processes the JSON as it is parsed.
pub(crate) async fn read_into<V>(
    response: &mut Response,
    seed: impl for<'de> DeserializeSeed<'de, Value = V>,
) -> Result<V> {
    if !response.is_json() {
        return Err(response.unexpected("JSON"));
    }
    let bytes = response.bytes(JSON_LIMIT).await?;
    response.parse_json_into(&bytes, seed)
}

/// Returns `body` as the JSON of a request.
pub(crate) fn json(body: &impl Serialize) -> Result<RequestBody> {
    let text = serde_json::to_vec(body)
        .map_err(|error| Error::invalid(format!("cannot write the request as JSON: {error}")))?;
    Ok(RequestBody::Bytes(Some("application/json"), text.into()))
}
