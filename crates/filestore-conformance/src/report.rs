//! [`Report`]: what became of each rule, for people and for machines.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

/// What became of every rule that was to be run.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Report {
    /// The name of the store, empty if it could not be opened.
    pub store: String,
    /// One for each rule, in the order of the rules.
    pub rules: Vec<RuleReport>,
    unknown_ids: Vec<String>,
}

/// What became of one rule.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RuleReport {
    /// The id, such as `U1`.
    pub id: &'static str,
    /// The rule in a sentence.
    pub title: &'static str,
    /// What became of it.
    pub outcome: Outcome,
    /// How long it took.
    pub time: Duration,
}

/// What may become of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It holds.
    Passed,
    /// It does not hold.
    Failed {
        /// What the rule asks for.
        expected: String,
        /// What was there.
        seen: String,
    },
    /// It does not bind this store, or the harness cannot show it.
    Skipped {
        /// What is missing: the name of a feature, or `harness: ...`.
        capability: String,
        /// Why it is missing, in the store's own words.
        reason: String,
    },
    /// It could not be tried.
    Blocked {
        /// The step before it that failed.
        by: String,
    },
}

impl Outcome {
    /// The name in lower case, such as `passed`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed { .. } => "failed",
            Self::Skipped { .. } => "skipped",
            Self::Blocked { .. } => "blocked",
        }
    }
}

/// How many rules there are of each outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Counts {
    /// Rules that hold.
    pub passed: usize,
    /// Rules that do not.
    pub failed: usize,
    /// Rules that do not bind.
    pub skipped: usize,
    /// Rules that could not be tried.
    pub blocked: usize,
}

impl Report {
    pub(crate) fn new(store: String, rules: Vec<RuleReport>, unknown_ids: Vec<String>) -> Self {
        Self { store, rules, unknown_ids }
    }

    /// Whether the store keeps the rules: some were executed, none failed, none was blocked.
    pub fn passed(&self) -> bool {
        let counts = self.counts();
        self.executed() > 0 && counts.failed == 0 && counts.blocked == 0 && self.unknown_ids.is_empty()
    }

    /// How many rules were tried to the end: passed and failed.
    pub fn executed(&self) -> usize {
        let counts = self.counts();
        counts.passed + counts.failed
    }

    /// How many rules there are of each outcome.
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

    /// What became of the rule `id`; `None` if it was not to be run.
    pub fn outcome(&self, id: &str) -> Option<&Outcome> {
        self.rules.iter().find(|rule| rule.id == id).map(|rule| &rule.outcome)
    }

    /// The report as an object with `store`, `passed`, `executed`, `counts` and `rules`; each rule has
    /// `id`, `title`, `outcome`, `milliseconds`, and `expected` and `seen`, `capability` and `reason`,
    /// or `by`.
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
    fn to_json(&self) -> Value {
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
    /// A line for each rule with what there is to say of it, then the sums.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for rule in &self.rules {
            writeln!(f, "{rule}")?;
        }
        for id in &self.unknown_ids {
            writeln!(f, "there is no rule {id:?}")?;
        }
        let Counts { passed, failed, skipped, blocked } = self.counts();
        if self.executed() == 0 {
            writeln!(f, "nothing ran: no rule could be tried on this store, which is a failure")?;
        }
        let verdict = if self.passed() { "keeps the rules" } else { "does NOT keep the rules" };
        write!(f, "{:?} {verdict}: {passed} passed, {failed} failed, {skipped} skipped, {blocked} blocked", self.store)
    }
}
