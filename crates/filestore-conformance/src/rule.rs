//! [`Rule`]: an id, a title, the features that it needs, and the check.

use std::fmt;

use filestore_core::Feature;
use futures::future::BoxFuture;

use crate::case::Case;
use crate::verdict::Verdict;

/// One rule of `docs/conformance.md`.
#[non_exhaustive]
pub struct Rule {
    /// The id, such as `U1`. It never changes.
    pub id: &'static str,
    /// The rule in one sentence.
    pub title: &'static str,
    /// The features that the rule needs. It does not apply to a store that lacks one of them.
    pub needs: &'static [Feature],
    pub(crate) check: Check,
}

/// The function that checks a rule, in a separate case.
pub(crate) type Check = for<'a> fn(&'a Case<'a>) -> BoxFuture<'a, Verdict>;

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule").field("id", &self.id).field("title", &self.title).finish_non_exhaustive()
    }
}

/// Creates a [`Rule`] whose check is an async function: `rule!("U1", "title", [List, Stat], check)`.
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
