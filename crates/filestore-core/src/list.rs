//! The request for a page of a listing.

use crate::{Error, PageToken, Result};

/// A request for one page of a listing.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct List {
    /// The folder or channel. `None`: the store's default.
    pub scope: Option<String>,
    /// The largest number of files on the page. `None`: the service decides.
    pub limit: Option<u32>,
    /// The token of the page. `None`: the first page.
    pub page: Option<PageToken>,
    /// `true` if files in all folders below are listed, too.
    pub recursive: bool,
}

impl List {
    /// Creates a request for the first page of the store's default scope.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the folder or channel.
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scope = Some(scope.into());
        self
    }

    /// Sets the largest number of files on the page. A limit of 0 fails with *invalid input* when the request is used.
    pub fn limit(mut self, limit: u32) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Continues after the page that returned `token`.
    pub fn page(mut self, token: PageToken) -> Self {
        self.page = Some(token);
        self
    }

    /// Sets whether files in all folders below are listed, too.
    pub fn recursive(mut self, recursive: bool) -> Self {
        self.recursive = recursive;
        self
    }
}

/// Checks the limit of a listing or a search. Fails with *invalid input* for 0.
pub fn validate_limit(limit: Option<u32>) -> Result<()> {
    match limit {
        Some(0) => Err(Error::invalid("the limit of a page is 0; set it to at least 1, or set no limit")),
        _ => Ok(()),
    }
}
