//! Share links, which the API calls bundles: the API manages them, a browser opens them at `/f/CODE`.

use http::StatusCode;
use jiff::Timestamp;
use rand::distr::{Alphanumeric, SampleString};
use serde_json::Value;

use super::access::{Caller, Right};
use super::cursor::{self, Cursor, Start};
use super::error::Rejection;
use super::params::Params;
use super::path::{RemotePath, Trailing};
use super::record::Bundle;
use super::sign::PART_URL_LIFETIME;
use super::storage_error::StorageRejection;
use super::store::{Change, State};
use super::tree::Node;
use super::wire::{BundleEntity, BundlePath};
use super::{Call, FilesCom, pages};
use crate::http::{Response, empty, json};

const PERMISSIONS: [&str; 6] = ["read", "write", "read_write", "full", "none", "preview_only"];

/// The page that a share link shows.
enum SharePage {
    /// The form that asks for the password.
    AskPassword,
    /// The only file of the link, as a download.
    File { name: String, content: String },
    /// The list of files: paths as the link shows them, and ids of contents.
    Files(Vec<(String, String)>),
    /// The link does not exist, has expired or is used up.
    Gone,
}

impl FilesCom {
    pub(super) async fn create_bundle(&self, call: Call<'_>, caller: Caller) -> Result<Response, Rejection> {
        let paths = paths(&call.params)?;
        for path in &paths {
            caller.check(Right::Read, path).map_err(|_| Rejection::BundlePermission)?;
        }
        let bundle = Bundle {
            id: 0,
            code: Alphanumeric.sample_string(&mut rand::rng(), 12),
            paths: Vec::new(),
            password: None,
            expires_at: None,
            max_uses: None,
            uses: 0,
            permissions: "read".to_owned(),
            description: String::new(),
            note: String::new(),
            require_registration: false,
            created_at: call.now,
            user: caller.id,
            username: caller.user.name.clone(),
        };
        let bundle = bundle.with_params(&call.params)?;
        let base = self.base.clone();
        self.store
            .run(move |state| {
                let nodes = paths.iter().map(|path| state.node_at(path).map_err(|_| Rejection::BundlePathNotFound));
                let paths = nodes.map(|node| Ok(state.tree.path(node?.id))).collect::<Result<_, Rejection>>()?;
                let bundle = Bundle { id: state.tree.next_id(), paths, ..bundle };
                state.save_bundle(&bundle)?;
                Ok(json(StatusCode::CREATED, &bundle.entity(&base)))
            })
            .await
    }

    pub(super) async fn list_bundles(&self, call: Call<'_>, caller: Caller) -> Result<Response, Rejection> {
        let per_page = cursor::per_page(&call.params)?;
        let list = format!("bundles {} {per_page}", caller.id);
        let start = call.params.text("cursor")?.map(|text| Cursor::parse(&text, &list)).transpose()?;
        let skipped = match start {
            Some(Start::Skip(skipped)) => skipped,
            _ => 0,
        };
        let base = self.base.clone();
        self.store
            .run(move |state| {
                let bundles: Vec<_> = state.bundles.values().filter(|bundle| bundle.user == caller.id).collect();
                let page: Vec<_> =
                    bundles.iter().skip(skipped).take(per_page).map(|bundle| bundle.entity(&base)).collect();
                let mut response = json(StatusCode::OK, &page);
                let end = skipped.saturating_add(per_page);
                let next = (end < bundles.len()).then_some(Start::Skip(end));
                let prev = (skipped > 0).then(|| Start::Skip(skipped.saturating_sub(per_page)));
                cursor::set_cursor_headers(&mut response, &list, next, prev);
                Ok(response)
            })
            .await
    }

    pub(super) async fn get_bundle(&self, id: &str, caller: Caller) -> Result<Response, Rejection> {
        let (id, base) = (id.to_owned(), self.base.clone());
        self.store.run(move |state| Ok(json(StatusCode::OK, &state.bundle_of(&id, &caller)?.entity(&base)))).await
    }

    pub(super) async fn update_bundle(&self, id: &str, call: Call<'_>, caller: Caller) -> Result<Response, Rejection> {
        let (id, base, params) = (id.to_owned(), self.base.clone(), call.params);
        self.store
            .run(move |state| {
                let bundle = state.bundle_of(&id, &caller)?.clone().with_params(&params)?;
                state.save_bundle(&bundle)?;
                Ok(json(StatusCode::OK, &bundle.entity(&base)))
            })
            .await
    }

    pub(super) async fn delete_bundle(&self, id: &str, caller: Caller) -> Result<Response, Rejection> {
        let id = id.to_owned();
        self.store
            .run(move |state| {
                let id = state.bundle_of(&id, &caller)?.id;
                Ok::<_, Rejection>(state.commit(vec![Change::BundleGone(id)])?)
            })
            .await?;
        Ok(empty(StatusCode::NO_CONTENT))
    }

    /// Checks that the bundle exists. The emulator sends no mail.
    pub(super) async fn share_bundle(&self, id: &str, caller: Caller) -> Result<Response, Rejection> {
        let id = id.to_owned();
        self.store.run(move |state| state.bundle_of(&id, &caller).map(|_| ())).await?;
        Ok(empty(StatusCode::NO_CONTENT))
    }

    /// `/f/CODE`, without credentials. Showing the files counts as a use; asking for the password does not.
    pub(super) async fn open_bundle(&self, code: &str, call: Call<'_>) -> Result<Response, Rejection> {
        let (code, now) = (code.to_owned(), call.now);
        let password = call.params.text("password")?;
        let is_head = call.head.method == http::Method::HEAD;
        let page = self
            .store
            .run(move |state| Ok::<_, Rejection>(state.open_bundle(&code, password.as_deref(), !is_head, now)?))
            .await?;
        match page {
            SharePage::Gone => Ok(pages::gone()),
            SharePage::AskPassword => Ok(pages::password()),
            SharePage::Files(files) => {
                let links = files.into_iter().map(|(path, content)| {
                    let url = self.signer.content_url(&content, &path, PART_URL_LIFETIME, now);
                    (path, url)
                });
                Ok(pages::files(links))
            }
            SharePage::File { name, content } => {
                let content = self.content(&content).await?.ok_or(Rejection::NotFound)?;
                let etag = format!("\"{}\"", content.etag);
                // Ranges are ignored, because each request counts as a use of the link.
                let response = self.content_response(content, &name, &etag, &http::HeaderMap::new());
                response.map_err(|rejection| match rejection {
                    StorageRejection::Internal(error) => Rejection::Internal(error),
                    _ => Rejection::NotFound,
                })
            }
        }
    }
}

impl Bundle {
    /// Sets the properties that are present in the parameters.
    fn with_params(mut self, params: &Params) -> Result<Self, Rejection> {
        if params.get("password").is_some() {
            self.password = params.text("password")?;
        }
        if params.get("expires_at").is_some() {
            self.expires_at = params.time("expires_at")?;
        }
        if params.get("max_uses").is_some() {
            let uses = params.int("max_uses")?.map(u64::try_from).transpose();
            self.max_uses = uses.map_err(|_| Rejection::invalid("max_uses"))?;
        }
        if let Some(permissions) = params.text("permissions")? {
            if !PERMISSIONS.contains(&permissions.as_str()) {
                return Err(Rejection::invalid("permissions"));
            }
            self.permissions = permissions;
        }
        if params.get("description").is_some() {
            self.description = params.text("description")?.unwrap_or_default();
        }
        if params.get("note").is_some() {
            self.note = params.text("note")?.unwrap_or_default();
        }
        if params.get("require_registration").is_some() {
            self.require_registration = params.flag("require_registration")?;
        }
        if let Some(code) = params.text("code")? {
            if !code.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) {
                return Err(Rejection::invalid("code"));
            }
            self.code = code;
        }
        Ok(self)
    }

    /// Returns `true` if the link shows its files.
    fn is_open(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|end| now < end)
            && self.max_uses.is_none_or(|max| self.uses < max)
            // The page only offers downloads, so a link for upload or preview shows nothing.
            && matches!(self.permissions.as_str(), "read" | "read_write" | "full")
    }

    fn entity<'b>(&'b self, base: &str) -> BundleEntity<'b> {
        BundleEntity {
            id: self.id,
            code: &self.code,
            url: format!("{base}/f/{}", self.code),
            expires_at: self.expires_at,
            password_protected: self.password.is_some(),
            permissions: &self.permissions,
            preview_only: self.permissions == "preview_only",
            require_registration: self.require_registration,
            max_uses: self.max_uses,
            paths: &self.paths,
            bundlepaths: self.paths.iter().map(|path| BundlePath { recursive: true, path }).collect(),
            created_at: self.created_at,
            description: &self.description,
            note: &self.note,
            user_id: self.user,
            username: &self.username,
            has_inbox: false,
        }
    }
}

impl State {
    /// Returns a bundle of the caller.
    fn bundle_of(&self, id: &str, caller: &Caller) -> Result<&Bundle, Rejection> {
        let bundle = id.parse().ok().and_then(|id: u64| self.bundles.get(&id));
        bundle.filter(|bundle| bundle.user == caller.id).ok_or(Rejection::NotFound)
    }

    fn save_bundle(&mut self, bundle: &Bundle) -> Result<(), Rejection> {
        if self.bundles.values().any(|other| other.id != bundle.id && other.code == bundle.code) {
            return Err(Rejection::ModelSave { field: "code", text: "Code has already been taken" });
        }
        Ok(self.commit(vec![Change::Bundle(bundle.clone())])?)
    }

    fn open_bundle(
        &mut self,
        code: &str,
        password: Option<&str>,
        count_use: bool,
        now: Timestamp,
    ) -> std::io::Result<SharePage> {
        let Some(bundle) = self.bundles.values().find(|bundle| bundle.code == code && bundle.is_open(now)) else {
            return Ok(SharePage::Gone);
        };
        if bundle.password.is_some() && bundle.password.as_deref() != password {
            return Ok(SharePage::AskPassword);
        }
        let nodes = bundle.paths.iter().filter_map(|path| {
            let path = RemotePath::from_text(path, Trailing::AllowedInLast).ok()?;
            self.node_at(&path).ok()
        });
        let nodes: Vec<&Node> = nodes.collect();
        let page = match nodes[..] {
            [] => return Ok(SharePage::Gone),
            [Node { content: Some(content), name, .. }] => {
                SharePage::File { name: name.clone(), content: content.clone() }
            }
            ref nodes => SharePage::Files(nodes.iter().flat_map(|node| self.shared_files(node)).collect()),
        };
        if count_use {
            let used = Bundle { uses: bundle.uses + 1, ..bundle.clone() };
            self.commit(vec![Change::Bundle(used)])?;
        }
        Ok(page)
    }

    /// Returns the files in a shared node, as paths that begin with its name, and ids of contents.
    fn shared_files(&self, node: &Node) -> Vec<(String, String)> {
        let prefix = node.parent.map(|parent| self.tree.path(parent)).unwrap_or_default();
        let files = self.tree.subtree(node.id).into_iter().filter_map(|file| {
            let content = file.content.clone()?;
            let path = self.tree.path(file.id);
            Some((path[prefix.len()..].trim_start_matches('/').to_owned(), content))
        });
        files.collect()
    }
}

fn paths(params: &Params) -> Result<Vec<RemotePath>, Rejection> {
    let texts = match params.get("paths") {
        None | Some(Value::Null) => return Err(Rejection::Missing("paths")),
        Some(Value::Array(paths)) if !paths.is_empty() => paths,
        Some(_) => return Err(Rejection::invalid("paths")),
    };
    let path = |text: &Value| {
        let text = text.as_str().ok_or(Rejection::invalid("paths"))?;
        RemotePath::from_text(text, Trailing::AllowedInLast)
    };
    texts.iter().map(path).collect()
}
