//! Share links: web pages of the service through which people without an account get at files.

use filestore_core::{Error, ErrorKind, FileRef, FileUrl, PageToken, Result, UrlKind};
use filestore_http::{Method, Repeat};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use crate::api;
use crate::list;
use crate::path::SitePath;
use crate::store::FilesComStore;
use crate::update::seconds;
use crate::wire::{Bundle, NewBundle};

/// What a share link lets people do.
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
    /// When it ends. Not set: never, unless the site says otherwise.
    pub expires: Option<Timestamp>,
    /// What people have to know to use it.
    pub password: Option<SecretString>,
    /// How often it may be used.
    pub max_uses: Option<u32>,
    /// What people may do. Not set: the site's default, which is reading.
    pub permissions: Option<SharePermissions>,
    /// The last part of the URL. Not set: the service makes one that is hard to guess.
    pub code: Option<String>,
    /// What people see of it.
    pub description: Option<String>,
    /// What the site's own users see of it.
    pub note: Option<String>,
    /// Whether people have to say who they are.
    pub require_registration: bool,
}

/// What people may do through a share link.
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
    /// Look at previews, not download.
    PreviewOnly,
    /// Nothing.
    None,
}

impl SharePermissions {
    /// The service's word.
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
}

/// A share link that exists.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ShareLink {
    /// By which to find and delete it.
    pub id: u64,
    /// A web page, not the bytes; whoever has it may use it. `Debug` hides it.
    pub url: FileUrl,
    /// What it shows, as paths of the site. Listings of the service may leave them out.
    pub paths: Vec<String>,
    /// What people may do, in the service's word.
    pub permissions: Option<String>,
    /// Whether people need a password.
    pub password_protected: bool,
    /// How often it may be used; `None`: as often as anybody likes.
    pub max_uses: Option<u64>,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// What people see of it.
    pub description: Option<String>,
    /// What the site's own users see of it.
    pub note: Option<String>,
}

/// A part of the list of share links.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ShareLinks {
    /// The links.
    pub links: Vec<ShareLink>,
    /// Where the next part begins; `None`: this was the last.
    pub next: Option<PageToken>,
}

impl Share {
    /// As the site's defaults say.
    pub fn new() -> Self {
        Self::default()
    }

    /// Until then.
    pub fn expires(mut self, end: Timestamp) -> Self {
        self.expires = Some(end);
        self
    }

    /// For those who know the password.
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(password.into().into());
        self
    }

    /// So many times.
    pub fn max_uses(mut self, uses: u32) -> Self {
        self.max_uses = Some(uses);
        self
    }

    /// Lets people do this.
    pub fn permissions(mut self, permissions: SharePermissions) -> Self {
        self.permissions = Some(permissions);
        self
    }

    /// With this last part of the URL.
    pub fn code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into());
        self
    }

    /// With a text that people see.
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }

    /// With a text that the site's own users see.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }

    /// For those who say who they are.
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
            password_protected: wire.password_protected,
            max_uses: wire.max_uses,
            created: wire.created_at,
            description: wire.description,
            note: wire.note,
        }
    }
}

impl FilesComStore {
    /// Makes a share link to these files or folders. Each call makes another link.
    ///
    /// *Invalid input* for no reference at all or an end that is over, *not found* if one is not there,
    /// *permission* if the user may not share, *rate limited*. A lost answer is not repeated: the link may
    /// exist, see [`shares`](Self::shares).
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
            return Err(Error::invalid("a share link needs a file or folder to show"));
        }
        if share.expires.is_some_and(|end| end <= self.api().clock().now()) {
            return Err(Error::invalid("the share link would have ended before it begins; choose a later time"));
        }
        let body = NewBundle {
            paths,
            password: share.password.as_ref().map(ExposeSecret::expose_secret),
            expires_at: share.expires.map(seconds),
            max_uses: share.max_uses,
            permissions: share.permissions.map(SharePermissions::as_str),
            description: share.description.as_deref(),
            note: share.note.as_deref(),
            code: share.code.as_deref(),
            require_registration: share.require_registration,
        };
        let request = self.api().request(Method::POST, "bundles", &SitePath::default(), Repeat::Once)?;
        let bundle: Bundle = self.api().ask(request.payload(api::json(&body)?)).await?;
        Ok(bundle.into())
    }

    /// A share link. *Not found* if there is none of this id.
    pub async fn share_link(&self, id: u64) -> Result<ShareLink> {
        let request = self.api().request(Method::GET, &format!("bundles/{id}"), &SitePath::default(), Repeat::Safe)?;
        let bundle: Bundle = self.api().ask(request).await?;
        Ok(bundle.into())
    }

    /// A part of the share links that the user may see, whatever the root of this store.
    pub async fn shares(&self, page: Option<&PageToken>) -> Result<ShareLinks> {
        let mut request = self.api().request(Method::GET, "bundles", &SitePath::default(), Repeat::Safe)?;
        if let Some(token) = page {
            request = request.query("cursor", token.as_str());
        }
        let mut answer = self.api().send(request).await?;
        let next = list::next_cursor(&answer).filter(|next| page.is_none_or(|page| page.as_str() != next));
        let bundles: Vec<Bundle> = api::read(&mut answer).await?;
        Ok(ShareLinks { links: bundles.into_iter().map(ShareLink::from).collect(), next: next.map(PageToken::new) })
    }

    /// Ends a share link. One that is gone already is no error.
    pub async fn unshare(&self, id: u64) -> Result<()> {
        let endpoint = format!("bundles/{id}");
        let request = self.api().request(Method::DELETE, &endpoint, &SitePath::default(), Repeat::Idempotent)?;
        match self.api().send(request).await {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}
