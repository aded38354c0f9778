//! The rules, a file for each chapter of `docs/conformance.md`.
//!
//! Each file begins with its table; the function of a rule shows it in the order of its text. A rule
//! reads a file at most once, because on some stores a read takes it away (chapter Q is about that),
//! and a rule about a rejection first stores a file, because a rejection proves nothing on a store that
//! rejects everything.

use crate::rule::Rule;

mod address;
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

/// In the order in which they run; `time` is last because it moves the clock.
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
    address::RULES,
    capability::RULES,
    option::RULES,
    provider::RULES,
    digest::RULES,
    consume::RULES,
    error::RULES,
    disturbed::RULES,
    time::RULES,
];

/// All rules, in the order in which they run.
pub fn rules() -> impl Iterator<Item = &'static Rule> {
    GROUPS.iter().copied().flatten()
}
