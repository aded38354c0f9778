//! Share links (the service's *bundles*): web pages that give people without an account access to files.

use std::collections::BTreeSet;

use filestore_core::{
    Effect, Error, ErrorKind, FileRef, FileUrl, IntoTimestamp, PageToken, Result, UrlKind, check_secret,
};
use filestore_http::{Idempotency, Method, Request};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use crate::api;
use crate::compare::PathKey;
use crate::list;
use crate::path::SitePath;
use crate::store::FilesComStore;
use crate::update::seconds;
use crate::wire::{Bundle, Bundles, NewBundle};

/// The options of a share link.
///
/// ```
/// use filestore_filescom::{Share, SharePermissions};
///
/// let share = Share::new().password("swordfish").max_uses(3).permissions(SharePermissions::Read);
/// assert!(!format!("{share:?}").contains("swordfish"));
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Share {
    /// The time when it expires. Default: the site's default, usually never.
    pub expires: Option<Timestamp>,
    /// The password that visitors must enter.
    pub password: Option<SecretString>,
    /// The maximum number of uses, from 1. Default: unlimited.
    pub max_uses: Option<u32>,
    /// The permissions of visitors. Default: the site's default, which is read; a created link that allows more is
    /// deleted.
    pub permissions: Option<SharePermissions>,
    /// The last part of the URL. Default: the service generates one that is hard to guess.
    pub code: Option<String>,
    /// The description that visitors see.
    pub description: Option<String>,
    /// The note that only the site's own users see.
    pub note: Option<String>,
    /// `true` requires visitors to register, that is, to identify themselves.
    pub require_registration: bool,
}

/// The permissions of visitors of a share link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SharePermissions {
    /// Read.
    Read,
    /// Upload.
    Write,
    /// Both.
    ReadWrite,
    /// Both, and delete.
    Full,
    /// View previews; no download.
    PreviewOnly,
    /// Nothing.
    None,
}

impl SharePermissions {
    /// Returns the service's name of the permission.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::ReadWrite => "read_write",
            Self::Full => "full",
            Self::PreviewOnly => "preview_only",
            Self::None => "none",
        }
    }

    /// Returns the service's names of the permissions that allow less.
    fn weaker(self) -> &'static [&'static str] {
        match self {
            Self::None => &[],
            Self::PreviewOnly | Self::Write => &["none"],
            Self::Read => &["none", "preview_only"],
            Self::ReadWrite => &["none", "preview_only", "read", "write"],
            Self::Full => &["none", "preview_only", "read", "write", "read_write"],
        }
    }
}

/// An existing share link.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ShareLink {
    /// The id, for [`FilesComStore::share_link`] and [`FilesComStore::unshare`].
    pub id: u64,
    /// The URL of a web page, not of the content. It is a secret that grants access; `Debug` hides it.
    pub url: FileUrl,
    /// The shared paths, from the root of the site. The service may leave them out in a list.
    pub paths: Vec<String>,
    /// The permissions of visitors, with the service's name.
    pub permissions: Option<String>,
    /// `true` if visitors must enter a password.
    pub password_protected: bool,
    /// The maximum number of uses; `None`: unlimited.
    pub max_uses: Option<u64>,
    /// The time of its creation.
    pub created: Option<Timestamp>,
    /// The description that visitors see.
    pub description: Option<String>,
    /// The note that only the site's own users see.
    pub note: Option<String>,
    /// The requested options that the service ignored.
    pub skipped: Vec<&'static str>,
}

/// A page of the list of share links.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ShareLinks {
    /// The links.
    pub links: Vec<ShareLink>,
    /// The number of links that could not be parsed and are missing from `links`.
    pub unreadable: usize,
    /// The token of the next page; `None`: this is the last page.
    pub next: Option<PageToken>,
}

impl Share {
    /// Creates options with the site's defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the time when the link expires.
    pub fn expires(mut self, time: impl IntoTimestamp) -> Self {
        self.expires = Some(time.into_timestamp());
        self
    }

    /// Sets the password that visitors must enter.
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(password.into().into());
        self
    }

    /// Sets the maximum number of uses.
    pub fn max_uses(mut self, uses: u32) -> Self {
        self.max_uses = Some(uses);
        self
    }

    /// Sets the permissions of visitors.
    pub fn permissions(mut self, permissions: SharePermissions) -> Self {
        self.permissions = Some(permissions);
        self
    }

    /// Sets the last part of the URL.
    pub fn code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into());
        self
    }

    /// Sets the description that visitors see.
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }

    /// Sets the note that only the site's own users see.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }

    /// Requires visitors to register, that is, to identify themselves.
    pub fn require_registration(mut self) -> Self {
        self.require_registration = true;
        self
    }
}

impl From<Bundle> for ShareLink {
    fn from(wire: Bundle) -> Self {
        Self {
            id: wire.id,
            url: FileUrl::new(wire.url, UrlKind::Page, wire.expires_at),
            paths: wire.paths.unwrap_or_default(),
            permissions: wire.permissions,
            password_protected: wire.password_protected == Some(true),
            max_uses: wire.max_uses,
            created: wire.created_at,
            description: wire.description,
            note: wire.note,
            skipped: Vec::new(),
        }
    }
}

impl FilesComStore {
    /// Creates a share link to these files or folders. Each call creates another link.
    ///
    /// *Invalid input* if there is no reference, if the expiry is in the past, if `max_uses` is 0 or if the password is
    /// empty, *not found*
    /// if a path does not exist, *permission* if the user may not share, *rate limited*. *Unsupported* if the service
    /// did not apply a protection, such as the password or the expiry: the link is deleted. *Incomplete* if that fails.
    /// There is no retry after a lost response: the link may exist, see [`shares`](Self::shares).
    pub async fn share<'a>(
        &self,
        references: impl IntoIterator<Item = &'a FileRef> + Send,
        share: Share,
    ) -> Result<ShareLink> {
        let paths = references
            .into_iter()
            .map(|reference| Ok(self.path_of(reference)?.to_string()))
            .collect::<Result<Vec<_>>>()?;
        if paths.is_empty() {
            return Err(Error::invalid("a share link requires at least one reference of a file or folder"));
        }
        if share.expires.is_some_and(|end| end <= self.api().clock().now()) {
            return Err(Error::invalid("the expiry of the share link is in the past; choose a later time"));
        }
        if share.max_uses == Some(0) {
            return Err(Error::invalid("a share link that allows no use is useless; set max_uses to 1 or more"));
        }
        if let Some(password) = &share.password {
            check_secret("password", password.expose_secret())?;
        }
        let body = NewBundle {
            paths: &paths,
            password: share.password.as_ref().map(ExposeSecret::expose_secret),
            expires_at: share.expires.map(seconds),
            max_uses: share.max_uses,
            permissions: share.permissions.map(SharePermissions::as_str),
            description: share.description.as_deref(),
            note: share.note.as_deref(),
            code: share.code.as_deref(),
            require_registration: share.require_registration,
        };
        let request = self.api().request(Method::POST, "bundles", &SitePath::default(), Idempotency::NonIdempotent)?;
        let request = request.body(api::json(&body)?).secrets(share.password.iter().cloned().collect());
        let bundle: Bundle = self.api().send_for_json(request).await?;
        // The response shows the protections of the link, which may differ from the requested ones.
        if let Some(lost) = lost_protection(&share, &paths, &bundle) {
            return Err(self.undo_share(bundle.id, lost).await);
        }
        let skipped = ignored(&share, &bundle);
        Ok(ShareLink { skipped, ..bundle.into() })
    }

    /// Deletes a link that the service created without the requested protection `lost`, and returns the error.
    async fn undo_share(&self, id: u64, lost: &str) -> Error {
        let removed = async {
            let response = self.api().send(self.unshare_request(id)?).await?;
            // A *not found* is no proof of the deletion: a new link may not be known everywhere yet.
            if response.status().as_u16() == 204 { Ok(()) } else { Err(response.unexpected("status 204")) }
        };
        match removed.await {
            Ok(()) => {
                let message = format!("the service created the share link without {lost}; the link was deleted");
                Error::new(ErrorKind::Unsupported, Effect::Rejected, message)
            }
            Err(error) => {
                let message = format!(
                    "the service created the share link {id} without {lost}, and could not delete it; delete it with \
                     `filestore filescom unshare {id}` or `FilesComStore::unshare`"
                );
                Error::new(ErrorKind::Incomplete, Effect::Applied, message).with_source(error)
            }
        }
    }

    /// Returns the share link with this id. *Not found* if it does not exist.
    pub async fn share_link(&self, id: u64) -> Result<ShareLink> {
        let request =
            self.api().request(Method::GET, &format!("bundles/{id}"), &SitePath::default(), Idempotency::Safe)?;
        let mut response = self.api().send(request).await?;
        let bundle: Bundle = api::read(&mut response).await?;
        if bundle.id != id {
            return Err(response.unexpected("JSON of the requested share link"));
        }
        Ok(bundle.into())
    }

    /// Returns a page of the share links that the user may see, regardless of the root of this store.
    ///
    /// *Protocol* if the next page would be this one again. A loop over more pages is found by a
    /// [`CursorLoopGuard`](filestore_core::CursorLoopGuard) in the code that reads all pages.
    pub async fn shares(&self, page: Option<&PageToken>) -> Result<ShareLinks> {
        let mut request = self.api().request(Method::GET, "bundles", &SitePath::default(), Idempotency::Safe)?;
        if let Some(token) = page {
            request = request.query("cursor", token.as_str());
        }
        let mut response = self.api().send(request).await?;
        let next = list::next_cursor(&response);
        list::check_cursor(next.as_deref(), page.map(PageToken::as_str))?;
        let Bundles(bundles) = api::read(&mut response).await?;
        let count = bundles.len();
        let mut links = Vec::with_capacity(count);
        for bundle in bundles {
            match bundle.0 {
                Some(bundle) => links.push(bundle.into()),
                None => tracing::warn!("the list skips a share link that cannot be parsed"),
            }
        }
        Ok(ShareLinks { unreadable: count - links.len(), links, next: next.map(PageToken::new) })
    }

    /// Deletes a share link. One that does not exist is no error.
    pub async fn unshare(&self, id: u64) -> Result<()> {
        self.api().remove(self.unshare_request(id)?).await
    }

    fn unshare_request(&self, id: u64) -> Result<Request> {
        self.api().request(Method::DELETE, &format!("bundles/{id}"), &SitePath::default(), Idempotency::Idempotent)
    }
}

/// Returns the requested protection that the service does not confirm: without it, the link would show more, to more
/// people or for longer.
fn lost_protection(share: &Share, paths: &[String], bundle: &Bundle) -> Option<&'static str> {
    let keys = |paths: &[String]| paths.iter().map(|path| PathKey::new(path)).collect::<BTreeSet<_>>();
    let differ = |shared: &[String]| keys(shared) != keys(paths);
    let is_later = |requested: Timestamp| bundle.expires_at.is_none_or(|end| end.as_second() > requested.as_second());
    let allows_more = |requested: SharePermissions| {
        let granted = bundle.permissions.as_deref();
        granted != Some(requested.as_str()) && !requested.weaker().contains(&granted.unwrap_or_default())
    };
    // 0 may mean that there is no limit.
    let exceeds = |max: u32| bundle.max_uses.is_none_or(|uses| uses == 0 || uses > max.into());
    // Without requested permissions, the link may allow no more than read.
    let allows_more = match share.permissions {
        Some(requested) => allows_more(requested),
        None => bundle.permissions.is_some() && allows_more(SharePermissions::Read),
    };
    let protections = [
        ("exactly the requested paths", bundle.paths.as_deref().is_some_and(differ)),
        ("the password", share.password.is_some() && bundle.password_protected != Some(true)),
        ("the expiry", share.expires.is_some_and(is_later)),
        ("the limit of uses", share.max_uses.is_some_and(exceeds)),
        ("the permissions", allows_more),
        ("the registration", share.require_registration && bundle.require_registration != Some(true)),
    ];
    protections.into_iter().find(|(_, lost)| *lost).map(|(name, _)| name)
}

/// Returns the other requested options that the service ignored.
fn ignored(share: &Share, bundle: &Bundle) -> Vec<&'static str> {
    let differs = |requested: &Option<String>, applied: &Option<String>| requested.is_some() && requested != applied;
    let is_earlier =
        |requested: Timestamp| bundle.expires_at.is_some_and(|end| end.as_second() < requested.as_second());
    let options = [
        ("expires", share.expires.is_some_and(is_earlier)),
        ("max_uses", share.max_uses.is_some_and(|max| bundle.max_uses.is_some_and(|uses| uses < max.into()))),
        (
            "permissions",
            share.permissions.is_some_and(|requested| bundle.permissions.as_deref() != Some(requested.as_str())),
        ),
        ("code", differs(&share.code, &bundle.code)),
        ("description", differs(&share.description, &bundle.description)),
        ("note", differs(&share.note, &bundle.note)),
    ];
    options.into_iter().filter(|(_, ignored)| *ignored).map(|(name, _)| name).collect()
}
