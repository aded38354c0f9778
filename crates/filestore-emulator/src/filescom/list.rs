//! Lists of folders: one page after the other, without sorting a large folder for each of them.

use std::cmp::Ordering;

use http::StatusCode;
use jiff::Timestamp;
use serde_json::Value;

use super::access::{Caller, Right};
use super::cursor::{self, At, Cursor};
use super::entity::View;
use super::error::Rejection;
use super::name::folded;
use super::params::Params;
use super::path::{RemotePath, Trailing};
use super::store::State;
use super::tree::{Node, NodeId, Place};
use super::{Call, FilesCom};
use crate::http::{Response, json};

/// No search finds more.
const MOST_HITS: usize = 1000;

/// What is asked of a list.
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

/// One page, and where the ones around it begin.
struct Page<'s> {
    nodes: Vec<&'s Node>,
    next: Option<At>,
    prev: Option<At>,
}

impl FilesCom {
    pub(super) async fn list(&self, raw: &str, call: Call<'_>, caller: Caller) -> Result<Response, Rejection> {
        let listing = Listing::of(&call.params)?;
        let all = call.params.flag("search_all")?;
        let path = RemotePath::of_url(raw, Trailing::RejectedEverywhere)?;
        if all && !path.is_root() {
            return Err(Rejection::SearchAllOnChildPath);
        }
        caller.may(Right::List, &path)?;
        let view = View::of(&caller, call.params.flag("with_priority_color")?, call.now);
        self.store
            .run(move |state| {
                let folder = state.node_at(&path)?;
                if folder.is_file() {
                    return Err(Rejection::NotFound);
                }
                let id = listing.id(folder.id);
                let at = listing.cursor.as_deref().map(|text| Cursor::read(text, &id)).transpose()?;
                let page = listing.page(state, folder.id, at.unwrap_or(At::Skip(0)));
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
    fn of(params: &Params) -> Result<Self, Rejection> {
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
            sort: Sort::of(params.get("sort_by"))?,
            kind,
            changed_after,
            search: params.text("search")?.map(|text| folded(&text)),
            search_key: params.text("search_custom_metadata_key")?,
        })
    }

    /// What a cursor belongs to.
    fn id(&self, folder: NodeId) -> String {
        let Listing { per_page, sort, kind, changed_after, search, search_key, .. } = self;
        format!("{folder} {per_page} {sort:?} {kind:?} {changed_after:?} {search:?} {search_key:?}")
    }

    fn page<'s>(&self, state: &'s State, folder: NodeId, at: At) -> Page<'s> {
        let by_path = self.sort == Sort { by: Field::Path, descending: false } && self.search.is_none();
        match at {
            At::Behind(place) if by_path => self.page_by_path(state, folder, Some(place)),
            At::Skip(_) if by_path => self.page_by_path(state, folder, None),
            At::Skip(skipped) => self.page_of(self.sorted(state, folder), skipped),
            At::Behind(_) => self.page_of(self.sorted(state, folder), 0),
        }
    }

    /// Straight from the tree, which is in this order.
    fn page_by_path<'s>(&self, state: &'s State, folder: NodeId, behind: Option<Place>) -> Page<'s> {
        let mut following = state.tree.children(folder, behind.as_ref()).filter(|node| self.wants(node));
        let nodes: Vec<_> = following.by_ref().take(self.per_page).collect();
        let more = following.next().is_some();
        let next = nodes.last().filter(|_| more).map(|last| At::Behind(last.place()));
        let prev = behind.map(|behind| {
            let mut before = state.tree.children_up_to(folder, &behind).rev().filter(|node| self.wants(node));
            before.nth(self.per_page).map_or(At::Skip(0), |last| At::Behind(last.place()))
        });
        Page { nodes, next, prev }
    }

    fn page_of<'s>(&self, nodes: Vec<&'s Node>, skipped: usize) -> Page<'s> {
        let end = skipped.saturating_add(self.per_page);
        Page {
            next: (end < nodes.len()).then_some(At::Skip(end)),
            prev: (skipped > 0).then(|| At::Skip(skipped.saturating_sub(self.per_page))),
            nodes: nodes.into_iter().skip(skipped).take(self.per_page).collect(),
        }
    }

    fn sorted<'s>(&self, state: &'s State, folder: NodeId) -> Vec<&'s Node> {
        let mut nodes: Vec<_> = match self.search {
            // A search looks into the folders below as well.
            Some(_) => state.tree.subtree(folder).into_iter().skip(1).collect(),
            None => state.tree.children(folder, None).collect(),
        };
        nodes.retain(|node| self.wants(node));
        if self.search.is_some() {
            nodes.truncate(MOST_HITS);
        }
        nodes.sort_by(|one, other| self.sort.compare(state, one, other));
        nodes
    }

    fn wants(&self, node: &Node) -> bool {
        let searched = |text: &str| self.search.as_ref().is_none_or(|search| folded(text).contains(search));
        self.kind.is_none_or(|kind| (kind == Kind::File) == node.is_file())
            && self.changed_after.is_none_or(|after| node.mtime > after)
            && match &self.search_key {
                None => searched(&node.name),
                Some(key) => node.custom_metadata.get(key).is_some_and(|value| searched(value)),
            }
    }
}

impl Sort {
    /// `sort_by[FIELD]=asc`, by one field.
    fn of(value: Option<&Value>) -> Result<Self, Rejection> {
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

    /// Folders stay first; entries that are equal stay in the order of paths.
    fn compare(self, state: &State, one: &Node, other: &Node) -> Ordering {
        let size =
            |node: &Node| node.content.as_ref().and_then(|id| state.contents.get(id)).map(|content| content.size);
        let ascending = match self.by {
            Field::Path => one.place().cmp(&other.place()),
            Field::Size => size(one).cmp(&size(other)),
            Field::Modified => one.mtime.cmp(&other.mtime),
            Field::ProvidedModified => one.provided_mtime.cmp(&other.provided_mtime),
        };
        let wanted = if self.descending { ascending.reverse() } else { ascending };
        one.is_file().cmp(&other.is_file()).then(wanted)
    }
}
