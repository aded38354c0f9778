//! The client of the API: one request a function call, one credential, every rejection an error.

use std::marker::PhantomData;
use std::sync::Arc;

use filestore_core::{Effect, Error, ErrorKind, Result, check_secret};
use filestore_http::header::{ACCEPT_LANGUAGE, HeaderName, HeaderValue};
use filestore_http::{
    Attempts, Clock, HttpClient, Idempotency, JSON_LIMIT, Method, Request, RequestBody, Response, secret_header,
};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde::de::{DeserializeOwned, DeserializeSeed};
use url::Url;

use crate::config::FilesComConfig;
use crate::error::{self, NOT_FOUND};
use crate::path::SitePath;
use crate::wire::Entry;

const KEY_HEADER: HeaderName = HeaderName::from_static("x-filesapi-key");
const SESSION_HEADER: HeaderName = HeaderName::from_static("x-filesapi-auth");
const WORKSPACE_HEADER: HeaderName = HeaderName::from_static("x-files-workspace-id");

/// Who asks. Exactly one of these goes with a request.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Credential {
    /// An API key.
    ApiKey(SecretString),
    /// The id of a session.
    Session(SecretString),
}

/// The API as one user sees it. Cheap to clone; clones share connections, pace and retry budget.
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
                return Err(Error::config("api_key and session_id are both set; the service wants one of them"));
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

    /// The same API for somebody else; `None`: for nobody, which logging in needs. *Invalid input* if the
    /// credential is empty, *config* if it cannot be a header.
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

    /// The same API for another workspace.
    pub(crate) fn with_workspace(&self, workspace: Option<u64>) -> Self {
        Self { workspace: workspace.map(HeaderValue::from), ..self.clone() }
    }

    pub(crate) fn credential(&self) -> Option<&Credential> {
        self.credential.as_ref()
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

    /// `method` to `/api/rest/v1/ENDPOINT/PATH`, which does what `repeat` says when it is sent twice.
    /// *Unauthenticated* if nobody asks.
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
                "the service wants a credential; set api_key, or log in for a session_id",
            ));
        };
        Ok(self.anonymous_request(method, endpoint, path, idempotency).credential(name, value))
    }

    /// The same without a credential.
    pub(crate) fn anonymous_request(
        &self,
        method: Method,
        endpoint: &str,
        path: &SitePath,
        idempotency: Idempotency,
    ) -> Request {
        let mut url = self.base.clone();
        let mut below = format!("/api/rest/v1/{endpoint}");
        path.encode_below(&mut below);
        url.set_path(&below);
        let mut request = Request::new(method, url, idempotency).buffered();
        if let Some(workspace) = &self.workspace {
            request = request.header(WORKSPACE_HEADER, workspace.clone());
        }
        if let Some(language) = &self.language {
            request = request.header(ACCEPT_LANGUAGE, language.clone());
        }
        request
    }

    /// The answer, if it is a success. Everything else is an error: *as the table of rejections says*.
    pub(crate) async fn send(&self, request: Request) -> Result<Response> {
        self.send_within(request, &mut Attempts::new()).await
    }

    /// [`send`](Self::send), out of what `attempts` has left.
    pub(crate) async fn send_within(&self, request: Request, attempts: &mut Attempts) -> Result<Response> {
        let answer = self.http.send_within(request, attempts).await?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let secret = self.credential.as_ref().map(|credential| match credential {
            Credential::ApiKey(secret) | Credential::Session(secret) => secret.expose_secret(),
        });
        let error = error::rejected(answer, secret).await;
        Err(match &self.credential {
            Some(Credential::Session(_)) if error.kind() == ErrorKind::Unauthenticated => {
                error.with_note("the session has ended, or never was; log in again")
            }
            _ => error,
        })
    }

    /// Sends what deletes or ends something: done where the service answers 204, as it documents, and where it says
    /// that there is nothing.
    pub(crate) async fn remove(&self, request: Request) -> Result<()> {
        match self.send(request).await {
            Ok(answer) if answer.status().as_u16() == 204 => Ok(()),
            Ok(answer) => Err(answer.unexpected("status 204")),
            Err(error) if error.http_status() == Some(404) && error::is(&error, NOT_FOUND) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The JSON of a success.
    pub(crate) async fn ask<T: DeserializeOwned>(&self, request: Request) -> Result<T> {
        read(&mut self.send(request).await?).await
    }

    /// The file or folder that the answer describes, which is the one `at` this path. *Protocol* if it names none, unless
    /// its status says that something was created: a mounted server may say little of it; or if it is another.
    pub(crate) async fn ask_for_entry(&self, request: Request, at: &SitePath) -> Result<Box<Entry>> {
        self.ask_for_entry_within(request, Some(at), None, &mut Attempts::new()).await
    }

    /// [`ask_for_entry`](Self::ask_for_entry) for a folder or for none, out of what `attempts` has left. Without `at`, the
    /// service chooses the path.
    pub(crate) async fn ask_for_entry_within(
        &self,
        request: Request,
        at: Option<&SitePath>,
        folder: Option<bool>,
        attempts: &mut Attempts,
    ) -> Result<Box<Entry>> {
        // Nothing is created by a look.
        let may_create = request.method() != Method::GET;
        let mut answer = self.send_within(request, attempts).await?;
        let entry: Box<Entry> = read(&mut answer).await?;
        if entry.path.is_none() && !(may_create && answer.status().as_u16() == 201) {
            return Err(answer.unexpected("JSON that names the file or folder"));
        }
        if at.is_some_and(|at| !entry.may_be_at(at)) {
            return Err(answer.unexpected("JSON of the file or folder that was asked for, and not of another,"));
        }
        if folder.is_some_and(|folder| entry.kind.is_some() && entry.is_folder() != folder) {
            return Err(answer.unexpected(if folder == Some(true) { "a folder" } else { "a file" }));
        }
        Ok(entry)
    }

    /// [`ask`](Self::ask), out of what `attempts` has left.
    pub(crate) async fn ask_within<T: DeserializeOwned>(&self, request: Request, attempts: &mut Attempts) -> Result<T> {
        read(&mut self.send_within(request, attempts).await?).await
    }
}

/// The JSON of a success. *Protocol* if it is none.
pub(crate) async fn read<T: DeserializeOwned>(answer: &mut Response) -> Result<T> {
    read_into(answer, PhantomData::<T>).await
}

/// [`read`] for what takes it in piece by piece.
pub(crate) async fn read_into<V>(
    answer: &mut Response,
    seed: impl for<'de> DeserializeSeed<'de, Value = V>,
) -> Result<V> {
    if !answer.is_json() {
        return Err(answer.unexpected("JSON"));
    }
    let bytes = answer.bytes(JSON_LIMIT).await?;
    answer.parse_json_into(&bytes, seed)
}

/// `body` as the JSON of a request.
pub(crate) fn json(body: &impl Serialize) -> Result<RequestBody> {
    let text = serde_json::to_vec(body).map_err(|error| Error::invalid(format!("this cannot be JSON: {error}")))?;
    Ok(RequestBody::Bytes(Some("application/json"), text.into()))
}
