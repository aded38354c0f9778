//! [`Report`]: the outcome of each rule, as text and as JSON.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

/// The outcomes of all rules that were selected.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Report {
    /// The name of the store; empty if the store could not be opened.
    pub store: String,
    /// The outcome of each rule, in the order of the rules.
    pub rules: Vec<RuleReport>,
    unknown_ids: Vec<String>,
}

/// The outcome of one rule.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RuleReport {
    /// The id, such as `U1`.
    pub id: &'static str,
    /// The rule in one sentence.
    pub title: &'static str,
    /// The outcome.
    pub outcome: Outcome,
    /// The duration of the check.
    pub time: Duration,
}

/// The outcome of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The store keeps the rule.
    Passed,
    /// The store breaks the rule.
    Failed {
        /// The behavior that the rule requires.
        expected: String,
        /// The behavior of the store.
        seen: String,
    },
    /// The rule does not apply to this store, or the harness lacks a method that it needs.
    Skipped {
        /// The missing capability: the name of a feature, or `harness: ...`.
        capability: String,
        /// The reason why it is missing, in the words of the store.
        reason: String,
    },
    /// The rule could not be checked.
    Blocked {
        /// The preparation that failed.
        by: String,
    },
}

impl Outcome {
    /// Returns the name in lower case, such as `passed`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed { .. } => "failed",
            Self::Skipped { .. } => "skipped",
            Self::Blocked { .. } => "blocked",
        }
    }
}

/// The number of rules with each outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Counts {
    /// Rules that the store keeps.
    pub passed: usize,
    /// Rules that the store breaks.
    pub failed: usize,
    /// Rules that do not apply.
    pub skipped: usize,
    /// Rules that could not be checked.
    pub blocked: usize,
}

impl Report {
    pub(crate) fn new(store: String, rules: Vec<RuleReport>, unknown_ids: Vec<String>) -> Self {
        Self { store, rules, unknown_ids }
    }

    /// Returns `true` if the store keeps the rules: at least one was executed, none failed, none was blocked, and every
    /// selected id exists.
    pub fn passed(&self) -> bool {
        let counts = self.counts();
        self.executed() > 0 && counts.failed == 0 && counts.blocked == 0 && self.unknown_ids.is_empty()
    }

    /// Returns the number of rules that were executed: those that passed or failed.
    pub fn executed(&self) -> usize {
        let counts = self.counts();
        counts.passed + counts.failed
    }

    /// Returns the number of rules with each outcome.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for rule in &self.rules {
            *match rule.outcome {
                Outcome::Passed => &mut counts.passed,
                Outcome::Failed { .. } => &mut counts.failed,
                Outcome::Skipped { .. } => &mut counts.skipped,
                Outcome::Blocked { .. } => &mut counts.blocked,
            } += 1;
        }
        counts
    }

    /// Returns the outcome of the rule `id`; `None` if the rule was not selected.
    pub fn outcome(&self, id: &str) -> Option<&Outcome> {
        self.rules.iter().find(|rule| rule.id == id).map(|rule| &rule.outcome)
    }

    /// Returns the report as an object with `store`, `passed`, `executed`, `counts` and `rules`. Each rule has
    /// `id`, `title`, `outcome` and `milliseconds`; a failed rule also has `expected` and `seen`, a skipped rule
    /// `capability` and `reason`, and a blocked rule `by`.
    pub fn to_json(&self) -> Value {
        let counts = self.counts();
        json!({
            "store": self.store,
            "passed": self.passed(),
            "executed": self.executed(),
            "counts": {
                "passed": counts.passed,
                "failed": counts.failed,
                "skipped": counts.skipped,
                "blocked": counts.blocked,
            },
            "rules": self.rules.iter().map(RuleReport::to_json).collect::<Vec<_>>(),
        })
    }
}

impl RuleReport {
    /// Returns the rule as it is in [`Report::to_json`].
    pub fn to_json(&self) -> Value {
        let mut rule = json!({
            "id": self.id,
            "title": self.title,
            "outcome": self.outcome.as_str(),
            "milliseconds": u64::try_from(self.time.as_millis()).unwrap_or(u64::MAX),
        });
        match &self.outcome {
            Outcome::Passed => {}
            Outcome::Failed { expected, seen } => {
                rule["expected"] = json!(expected);
                rule["seen"] = json!(seen);
            }
            Outcome::Skipped { capability, reason } => {
                rule["capability"] = json!(capability);
                rule["reason"] = json!(reason);
            }
            Outcome::Blocked { by } => rule["by"] = json!(by),
        }
        rule
    }
}

impl fmt::Display for RuleReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<7}  {:<3}  {}", self.outcome.as_str(), self.id, self.title)?;
        match &self.outcome {
            Outcome::Passed => Ok(()),
            Outcome::Failed { expected, seen } => write!(f, "\n    expected  {expected}\n    seen      {seen}"),
            Outcome::Skipped { capability, reason } => write!(f, "\n    without {capability}: {reason}"),
            Outcome::Blocked { by } => write!(f, "\n    by        {by}"),
        }
    }
}

impl fmt::Display for Report {
    /// Writes the outcome of each rule with its details, then the number of rules with each outcome.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for rule in &self.rules {
            writeln!(f, "{rule}")?;
        }
        for id in &self.unknown_ids {
            writeln!(f, "there is no rule {id:?}")?;
        }
        let Counts { passed, failed, skipped, blocked } = self.counts();
        if self.executed() == 0 {
            writeln!(f, "no rule could be checked on this store, which is a failure")?;
        }
        let verdict = if self.passed() { "keeps the rules" } else { "does NOT keep the rules" };
        write!(f, "{:?} {verdict}: {passed} passed, {failed} failed, {skipped} skipped, {blocked} blocked", self.store)
    }
}
