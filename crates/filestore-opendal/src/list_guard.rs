//! [`ListGuard`]: ends listings that a service would never end.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use filestore_core::{CursorLoopGuard, Error};
use opendal::{Buffer, ErrorKind, HttpBody, HttpTransport, HttpTransporter, Operator};

/// Entries that count as a page: services that do not speak HTTP have no other pages.
const PAGE: u64 = 1000;

/// A [`CursorLoopGuard`] of one listing. OpenDAL requests page after page until one has an entry, and shows
/// none of its cursors; so the guard sees every request as the end of a page.
#[derive(Debug, Clone, Default)]
pub(crate) struct ListGuard(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    guard: CursorLoopGuard,
    pages: u64,
    entries: u64,
    failure: Option<Error>,
}

impl ListGuard {
    /// `operator`, whose requests the guard sees.
    pub(crate) fn watch(&self, operator: &Operator) -> Operator {
        let context = operator.base_context();
        let transport = Watched { inner: context.http_transport().clone(), guard: self.clone() };
        let context = context.with_http_transport(HttpTransporter::new(transport));
        operator.clone().with_context(context)
    }

    /// Notes an entry of the listing.
    pub(crate) fn entry(&self, path: &str) -> opendal::Result<()> {
        let mut state = self.state();
        state.guard.entry(path);
        state.entries += 1;
        if state.entries.is_multiple_of(PAGE) { state.end_page() } else { Ok(()) }
    }

    /// The reason why the listing was ended, if it was the guard that ended it.
    pub(crate) fn failure(&self) -> Option<Error> {
        self.state().failure.take()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn end_page(&mut self) -> opendal::Result<()> {
        self.pages += 1;
        self.guard.next_page(&self.pages).map_err(|error| {
            let message = error.message().to_owned();
            self.failure = Some(error);
            opendal::Error::new(ErrorKind::Unexpected, message)
        })
    }
}

struct Watched {
    inner: HttpTransporter,
    guard: ListGuard,
}

impl HttpTransport for Watched {
    async fn fetch(&self, request: http::Request<Buffer>) -> opendal::Result<http::Response<HttpBody>> {
        self.guard.state().end_page()?;
        self.inner.fetch(request).await
    }
}
