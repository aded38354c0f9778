//! [`ListGuard`]: ends listings that a service never ends, and listings of another folder.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use filestore_core::{CursorLoopGuard, Effect, Error};
use opendal::{Buffer, ErrorKind, HttpBody, HttpTransport, HttpTransporter, Operator};

/// The number of entries that count as a page: a service without HTTP has no other pages.
const PAGE: u64 = 1000;

/// A [`CursorLoopGuard`] of one listing. OpenDAL requests page after page until one has an entry, and does not expose
/// its cursors, so the URL of a request is the cursor of its page.
#[derive(Debug, Clone)]
pub(crate) struct ListGuard(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// The path that all entries begin with. Empty for the root.
    folder: String,
    guard: CursorLoopGuard,
    pages: u64,
    entries: u64,
    failure: Option<Error>,
    /// `true` if no further request is sent.
    stopped: bool,
    /// The URL of the last request, if it failed.
    failed_request: Option<String>,
}

impl ListGuard {
    /// Creates the guard of a listing of `folder`, whose path is empty or ends with `/`.
    pub(crate) fn of(folder: &str) -> Self {
        Self(Arc::new(Mutex::new(State { folder: folder.to_owned(), ..State::default() })))
    }

    /// Returns `operator` with a transport that reports every request to the guard.
    pub(crate) fn watch(&self, operator: &Operator) -> Operator {
        let context = operator.base_context();
        let transport = GuardedTransport { inner: context.http_transport().clone(), guard: self.clone() };
        let context = context.with_http_transport(HttpTransporter::new(transport));
        operator.clone().with_context(context)
    }

    /// Counts an entry of the listing.
    pub(crate) fn entry(&self, path: &str) -> opendal::Result<()> {
        let mut state = self.state();
        if !path.starts_with(&state.folder) {
            let message = format!(
                "the listing of {:?} has {path:?}, which is not in it; check the proxies and gateways before the \
                 service",
                state.folder
            );
            return Err(state.fail(Error::new(filestore_core::ErrorKind::Protocol, Effect::Rejected, message)));
        }
        state.guard.entry(path);
        state.entries += 1;
        if state.entries.is_multiple_of(PAGE) { state.end_page() } else { Ok(()) }
    }

    /// Ends the listing with the entries of the last response: the next request fails and is not sent.
    pub(crate) fn stop(&self) {
        self.state().stopped = true;
    }

    /// Returns `true` if the listing was ended.
    pub(crate) fn is_stopped(&self) -> bool {
        self.state().stopped
    }

    /// Takes the error with which the guard ended the listing, if it did.
    pub(crate) fn failure(&self) -> Option<Error> {
        self.state().failure.take()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn fail(&mut self, error: Error) -> opendal::Error {
        let message = error.message().to_owned();
        self.failure = Some(error);
        opendal::Error::new(ErrorKind::Unexpected, message)
    }

    fn end_page(&mut self) -> opendal::Result<()> {
        self.pages += 1;
        self.next_page(&self.pages.to_string())
    }

    /// Begins the page that the request of the URL `cursor` returns. A request that failed may be repeated.
    fn request(&mut self, cursor: &str) -> opendal::Result<()> {
        if self.stopped {
            return Err(opendal::Error::new(ErrorKind::Unexpected, "the listing was ended"));
        }
        match self.failed_request.as_deref() == Some(cursor) {
            true => Ok(()),
            false => self.next_page(cursor),
        }
    }

    fn next_page(&mut self, cursor: &str) -> opendal::Result<()> {
        self.guard.next_page(cursor).map_err(|error| self.fail(error))
    }
}

struct GuardedTransport {
    inner: HttpTransporter,
    guard: ListGuard,
}

impl HttpTransport for GuardedTransport {
    async fn fetch(&self, request: http::Request<Buffer>) -> opendal::Result<http::Response<HttpBody>> {
        let cursor = request.uri().to_string();
        self.guard.state().request(&cursor)?;
        let response = self.inner.fetch(request).await;
        self.guard.state().failed_request = response.is_err().then_some(cursor);
        response
    }
}
