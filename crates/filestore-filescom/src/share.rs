//! Share links: web pages of the service through which people without an account get at files.

use std::collections::BTreeSet;

use filestore_core::{Effect, Error, ErrorKind, FileRef, FileUrl, PageToken, Result, UrlKind, check_secret};
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
    /// What people may do. Not set: the site's default, which is reading; a link that allows more is removed again.
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

    /// The permissions that allow less, in the words of the service.
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
    /// Options that were asked for and that the service did not take.
    pub skipped: Vec<&'static str>,
}

/// A part of the list of share links.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ShareLinks {
    /// The links.
    pub links: Vec<ShareLink>,
    /// The number of links that could not be read, and are left out.
    pub unreadable: usize,
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
    /// Makes a share link to these files or folders. Each call makes another link.
    ///
    /// *Invalid input* for no reference at all, an end that is over or an empty password, *not found* if
    /// one is not there,
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
        let bundle: Bundle = self.api().ask(request.body(api::json(&body)?)).await?;
        // What the link protects is what the service says, not what it was asked for.
        if let Some(lost) = lost_protection(&share, &paths, &bundle) {
            return Err(self.undo_share(bundle.id, lost).await);
        }
        let skipped = ignored(&share, &bundle);
        Ok(ShareLink { skipped, ..bundle.into() })
    }

    /// Removes a link that the service made without a protection that was asked for, and says so.
    async fn undo_share(&self, id: u64, lost: &str) -> Error {
        let removed = async {
            let answer = self.api().send(self.unsharing(id)?).await?;
            // That there is no link proves nothing: the one just made may not be known everywhere yet.
            if answer.status().as_u16() == 204 { Ok(()) } else { Err(answer.unexpected("status 204")) }
        };
        match removed.await {
            Ok(()) => {
                let message = format!("the service made the share link without {lost}; the link was removed again");
                Error::new(ErrorKind::Unsupported, Effect::Rejected, message)
            }
            Err(error) => {
                let message = format!(
                    "the service made the share link {id} without {lost}, and it could not be removed here; remove it \
                     with `filestore filescom unshare {id}`, or unshare"
                );
                Error::new(ErrorKind::Incomplete, Effect::Applied, message).with_source(error)
            }
        }
    }

    /// A share link. *Not found* if there is none of this id.
    pub async fn share_link(&self, id: u64) -> Result<ShareLink> {
        let request =
            self.api().request(Method::GET, &format!("bundles/{id}"), &SitePath::default(), Idempotency::Safe)?;
        let mut answer = self.api().send(request).await?;
        let bundle: Bundle = api::read(&mut answer).await?;
        if bundle.id != id {
            return Err(answer.unexpected("JSON of the share link that was asked for"));
        }
        Ok(bundle.into())
    }

    /// A part of the share links that the user may see, whatever the root of this store.
    ///
    /// *Protocol* if the next part would be this one again. Give the others to a
    /// [`CursorLoopGuard`](filestore_core::CursorLoopGuard) when you read all of them.
    pub async fn shares(&self, page: Option<&PageToken>) -> Result<ShareLinks> {
        let mut request = self.api().request(Method::GET, "bundles", &SitePath::default(), Idempotency::Safe)?;
        if let Some(token) = page {
            request = request.query("cursor", token.as_str());
        }
        let mut answer = self.api().send(request).await?;
        let next = list::next_cursor(&answer);
        list::check_cursor(next.as_deref(), page.map(PageToken::as_str))?;
        let Bundles(bundles) = api::read(&mut answer).await?;
        let count = bundles.len();
        let mut links = Vec::with_capacity(count);
        for bundle in bundles {
            match bundle.0 {
                Some(bundle) => links.push(bundle.into()),
                None => tracing::warn!("a share link that cannot be read is left out of the list"),
            }
        }
        Ok(ShareLinks { unreadable: count - links.len(), links, next: next.map(PageToken::new) })
    }

    /// Ends a share link. One that is gone already is no error.
    pub async fn unshare(&self, id: u64) -> Result<()> {
        self.api().remove(self.unsharing(id)?).await
    }

    fn unsharing(&self, id: u64) -> Result<Request> {
        self.api().request(Method::DELETE, &format!("bundles/{id}"), &SitePath::default(), Idempotency::Idempotent)
    }
}

/// The protection that was asked for and that the service does not confirm: the link would show more, to more people,
/// or for longer.
fn lost_protection(share: &Share, paths: &[String], bundle: &Bundle) -> Option<&'static str> {
    let keys = |paths: &[String]| paths.iter().map(|path| PathKey::new(path)).collect::<BTreeSet<_>>();
    let are_others = |said: &[String]| keys(said) != keys(paths);
    let is_longer = |asked: Timestamp| bundle.expires_at.is_none_or(|end| end.as_second() > asked.as_second());
    let allows_more = |asked: SharePermissions| {
        let granted = bundle.permissions.as_deref();
        granted != Some(asked.as_str()) && !asked.weaker().contains(&granted.unwrap_or_default())
    };
    // Nobody asked for more than reading.
    let allows_more = match share.permissions {
        Some(asked) => allows_more(asked),
        None => bundle.permissions.is_some() && allows_more(SharePermissions::Read),
    };
    let protections = [
        ("exactly the paths that were asked for", bundle.paths.as_deref().is_some_and(are_others)),
        ("the password", share.password.is_some() && bundle.password_protected != Some(true)),
        ("the expiry", share.expires.is_some_and(is_longer)),
        ("the limit of uses", share.max_uses.is_some_and(|most| bundle.max_uses.is_none_or(|uses| uses > most.into()))),
        ("the permissions", allows_more),
        ("the registration", share.require_registration && bundle.require_registration != Some(true)),
    ];
    protections.into_iter().find(|(_, lost)| *lost).map(|(name, _)| name)
}

/// The other options that the service did not take.
fn ignored(share: &Share, bundle: &Bundle) -> Vec<&'static str> {
    let differs = |asked: &Option<String>, said: &Option<String>| asked.is_some() && asked != said;
    let is_shorter = |asked: Timestamp| bundle.expires_at.is_some_and(|end| end.as_second() < asked.as_second());
    let options = [
        ("expires", share.expires.is_some_and(is_shorter)),
        ("max_uses", share.max_uses.is_some_and(|most| bundle.max_uses.is_some_and(|uses| uses < most.into()))),
        ("permissions", share.permissions.is_some_and(|asked| bundle.permissions.as_deref() != Some(asked.as_str()))),
        ("code", differs(&share.code, &bundle.code)),
        ("description", differs(&share.description, &bundle.description)),
        ("note", differs(&share.note, &bundle.note)),
    ];
    options.into_iter().filter(|(_, ignored)| *ignored).map(|(name, _)| name).collect()
}
