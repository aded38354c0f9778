//! Folder lists, in pages. The default order comes from the tree, without sorting the folder for each page.

use std::cmp::Ordering;

use http::StatusCode;
use jiff::Timestamp;
use serde_json::Value;

use super::access::{Caller, Right};
use super::collation::fold;
use super::cursor::{self, Cursor, Start};
use super::entity::View;
use super::error::Rejection;
use super::params::Params;
use super::path::{RemotePath, Trailing};
use super::store::State;
use super::tree::{Node, NodeId, Position};
use super::{Call, FilesCom};
use crate::http::{Response, json};

/// The maximum number of results of a search.
const MAX_HITS: usize = 1000;

/// The parameters of a list request.
#[derive(Debug)]
struct Listing {
    per_page: usize,
    cursor: Option<String>,
    sort: Sort,
    kind: Option<Kind>,
    changed_after: Option<Timestamp>,
    search: Option<String>,
    search_key: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sort {
    by: Field,
    descending: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Path,
    Size,
    Modified,
    ProvidedModified,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    File,
    Folder,
}

/// One page, and the starts of the next and the previous page.
struct Page<'s> {
    nodes: Vec<&'s Node>,
    next: Option<Start>,
    prev: Option<Start>,
}

impl FilesCom {
    pub(super) async fn list(&self, raw: &str, call: Call<'_>, caller: Caller) -> Result<Response, Rejection> {
        let listing = Listing::parse(&call.params)?;
        let search_all = call.params.flag("search_all")?;
        let path = RemotePath::from_url(raw, Trailing::RejectedEverywhere)?;
        if search_all && !path.is_root() {
            return Err(Rejection::SearchAllOnChildPath);
        }
        caller.check(Right::List, &path)?;
        let view = View::new(&caller, call.params.flag("with_priority_color")?, call.now);
        self.store
            .run(move |state| {
                let folder = state.node_at(&path)?;
                if folder.is_file() {
                    return Err(Rejection::NotFound);
                }
                let id = listing.id(folder.id);
                let start = listing.cursor.as_deref().map(|text| Cursor::parse(text, &id)).transpose()?;
                let page = listing.page(state, folder.id, start.unwrap_or(Start::Skip(0)));
                let entities: Vec<_> =
                    page.nodes.iter().map(|node| state.entity(node, state.tree.path(node.id), &view)).collect();
                let mut response = json(StatusCode::OK, &entities);
                cursor::set_cursor_headers(&mut response, &id, page.next, page.prev);
                Ok(response)
            })
            .await
    }
}

impl Listing {
    fn parse(params: &Params) -> Result<Self, Rejection> {
        let kind = match params.text("type")?.as_deref() {
            None => None,
            Some("file") => Some(Kind::File),
            Some("folder") => Some(Kind::Folder),
            Some(_) => return Err(Rejection::invalid("type")),
        };
        let changed_after = params.time("modified_at_datetime")?;
        if changed_after.is_some() && kind.is_none() {
            return Err(Rejection::InvalidParams("modified_at_datetime can only be used with type".to_owned()));
        }
        Ok(Listing {
            per_page: cursor::per_page(params)?,
            cursor: params.text("cursor")?,
            sort: Sort::parse(params.get("sort_by"))?,
            kind,
            changed_after,
            search: params.text("search")?.map(|text| fold(&text)),
            search_key: params.text("search_custom_metadata_key")?,
        })
    }

    /// Returns the id of the list, which ties cursors to it.
    fn id(&self, folder: NodeId) -> String {
        let Listing { per_page, sort, kind, changed_after, search, search_key, .. } = self;
        format!("{folder} {per_page} {sort:?} {kind:?} {changed_after:?} {search:?} {search_key:?}")
    }

    fn page<'s>(&self, state: &'s State, folder: NodeId, start: Start) -> Page<'s> {
        let by_path = self.sort == Sort { by: Field::Path, descending: false } && self.search.is_none();
        match start {
            Start::After(position) if by_path => self.page_by_path(state, folder, Some(position)),
            Start::Skip(_) if by_path => self.page_by_path(state, folder, None),
            Start::Skip(skipped) => self.page_of(self.sorted(state, folder), skipped),
            Start::After(_) => self.page_of(self.sorted(state, folder), 0),
        }
    }

    /// Returns a page in the order of the tree, which needs no sorting.
    fn page_by_path<'s>(&self, state: &'s State, folder: NodeId, after: Option<Position>) -> Page<'s> {
        let mut following = state.tree.children(folder, after.as_ref()).filter(|node| self.matches(node));
        let nodes: Vec<_> = following.by_ref().take(self.per_page).collect();
        let more = following.next().is_some();
        let next = nodes.last().filter(|_| more).map(|last| Start::After(last.position()));
        let prev = after.map(|after| {
            let mut before = state.tree.children_up_to(folder, &after).rev().filter(|node| self.matches(node));
            before.nth(self.per_page).map_or(Start::Skip(0), |last| Start::After(last.position()))
        });
        Page { nodes, next, prev }
    }

    fn page_of<'s>(&self, nodes: Vec<&'s Node>, skipped: usize) -> Page<'s> {
        let end = skipped.saturating_add(self.per_page);
        Page {
            next: (end < nodes.len()).then_some(Start::Skip(end)),
            prev: (skipped > 0).then(|| Start::Skip(skipped.saturating_sub(self.per_page))),
            nodes: nodes.into_iter().skip(skipped).take(self.per_page).collect(),
        }
    }

    fn sorted<'s>(&self, state: &'s State, folder: NodeId) -> Vec<&'s Node> {
        let mut nodes: Vec<_> = match self.search {
            // A search includes all folders below this one.
            Some(_) => state.tree.subtree(folder).into_iter().skip(1).collect(),
            None => state.tree.children(folder, None).collect(),
        };
        nodes.retain(|node| self.matches(node));
        if self.search.is_some() {
            nodes.truncate(MAX_HITS);
        }
        nodes.sort_by(|one, other| self.sort.compare(state, one, other));
        nodes
    }

    fn matches(&self, node: &Node) -> bool {
        let matches_search = |text: &str| self.search.as_ref().is_none_or(|search| fold(text).contains(search));
        self.kind.is_none_or(|kind| (kind == Kind::File) == node.is_file())
            && self.changed_after.is_none_or(|after| node.mtime > after)
            && match &self.search_key {
                None => matches_search(&node.name),
                Some(key) => node.custom_metadata.get(key).is_some_and(|value| matches_search(value)),
            }
    }
}

impl Sort {
    /// Parses `sort_by[FIELD]=asc`. Only one field is allowed.
    fn parse(value: Option<&Value>) -> Result<Self, Rejection> {
        let fields = match value {
            None | Some(Value::Null) => return Ok(Sort { by: Field::Path, descending: false }),
            Some(Value::Object(fields)) => fields,
            Some(_) => return Err(Rejection::invalid("sort_by")),
        };
        let mut fields = fields.iter();
        let (Some((field, direction)), None) = (fields.next(), fields.next()) else {
            return Err(Rejection::InvalidSortField);
        };
        let by = match field.as_str() {
            "path" => Field::Path,
            "size" => Field::Size,
            "modified_at_datetime" => Field::Modified,
            "provided_modified_at" => Field::ProvidedModified,
            _ => return Err(Rejection::InvalidSortField),
        };
        match direction.as_str() {
            Some("asc") => Ok(Sort { by, descending: false }),
            Some("desc") => Ok(Sort { by, descending: true }),
            _ => Err(Rejection::invalid("sort_by")),
        }
    }

    /// Compares two nodes of a list. Folders are first in both directions. A stable sort keeps equal nodes in the order
    /// of the tree.
    fn compare(self, state: &State, one: &Node, other: &Node) -> Ordering {
        let size =
            |node: &Node| node.content.as_ref().and_then(|id| state.contents.get(id)).map(|content| content.size);
        let ascending = match self.by {
            Field::Path => one.position().cmp(&other.position()),
            Field::Size => size(one).cmp(&size(other)),
            Field::Modified => one.mtime.cmp(&other.mtime),
            Field::ProvidedModified => one.provided_mtime.cmp(&other.provided_mtime),
        };
        let directed = if self.descending { ascending.reverse() } else { ascending };
        one.is_file().cmp(&other.is_file()).then(directed)
    }
}
