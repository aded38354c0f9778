//! The rules, one file for each group of rules in `docs/conformance.md`.
//!
//! Each file begins with the table of its rules. The function of a rule follows the text of the rule in the page.
//! A rule reads a file at most once, because on some stores a read consumes the file (rules Q1 to Q4). A rule
//! about a rejection first stores a file, because a rejection proves nothing on a store that rejects everything.
//! In a title, *unsent* means that the error has the effect *not sent*, and that the service received no request.

use crate::rule::Rule;

mod body;
mod capability;
mod consume;
mod delete;
mod digest;
mod disturbed;
mod download;
mod error;
mod exists;
mod list;
mod name;
mod option;
mod provider;
mod reference;
mod scope;
mod stat;
mod time;
mod upload;
mod url;
mod version;

/// The groups of rules, in the order in which they run. `time` is last because it moves the clock.
pub(crate) const GROUPS: &[&[Rule]] = &[
    upload::RULES,
    body::RULES,
    name::RULES,
    scope::RULES,
    exists::RULES,
    reference::RULES,
    stat::RULES,
    download::RULES,
    delete::RULES,
    list::RULES,
    url::RULES,
    capability::RULES,
    option::RULES,
    provider::RULES,
    digest::RULES,
    version::RULES,
    consume::RULES,
    error::RULES,
    disturbed::RULES,
    time::RULES,
];

/// Returns all rules, in the order in which they run.
pub fn rules() -> impl Iterator<Item = &'static Rule> {
    GROUPS.iter().copied().flatten()
}
