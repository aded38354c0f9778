//! [`Rule`]: an id, a title, the features that bind it, and the check.

use std::fmt;

use filestore_core::Feature;
use futures::future::BoxFuture;

use crate::case::Case;
use crate::verdict::Verdict;

/// One rule of `docs/conformance.md`.
#[non_exhaustive]
pub struct Rule {
    /// The id, such as `U1`. It stays with the rule for good.
    pub id: &'static str,
    /// The rule in a sentence.
    pub title: &'static str,
    /// The features without which it does not bind a store.
    pub needs: &'static [Feature],
    pub(crate) check: Check,
}

/// Shows that the rule holds, in a case of its own.
pub(crate) type Check = for<'a> fn(&'a Case<'a>) -> BoxFuture<'a, Verdict>;

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule").field("id", &self.id).field("title", &self.title).finish_non_exhaustive()
    }
}

/// `rule!("U1", "title", [List, Stat], check)`: a [`Rule`] whose check is an async function.
macro_rules! rule {
    ($id:literal, $title:literal, [$($feature:ident),*], $check:ident) => {
        crate::rule::Rule {
            id: $id,
            title: $title,
            needs: &[$(filestore_core::Feature::$feature),*],
            check: |case| Box::pin($check(case)),
        }
    };
}
pub(crate) use rule;
