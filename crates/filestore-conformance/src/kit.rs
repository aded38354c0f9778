//! [`Kit`]: runs the rules one after the other, even if a store panics or hangs.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use filestore_core::{Capabilities, ErrorKind, Store, Support, Upload};
use futures::FutureExt;

use crate::case::Case;
use crate::harness::Harness;
use crate::report::{Outcome, Report, RuleReport};
use crate::rule::Rule;
use crate::rules::rules;
use crate::verdict::{Stop, described};

/// Checks all rules against the store of `harness`.
pub async fn run(harness: &dyn Harness) -> Report {
    Kit::new().run(harness).await
}

/// A run of the rules with settings: the selected rules, and the time limit of each.
#[derive(Debug, Clone)]
pub struct Kit {
    only: Option<Vec<String>>,
    time_limit: Duration,
}

impl Default for Kit {
    fn default() -> Self {
        // The rule of unusual names (N2) sends about 200 requests.
        Self { only: None, time_limit: Duration::from_secs(120) }
    }
}

impl Kit {
    /// Selects all rules, with a time limit of 2 minutes each.
    pub fn new() -> Self {
        Self::default()
    }

    /// Selects only the rules with these ids. A report with an unknown id does not pass.
    pub fn only<I: Into<String>>(mut self, ids: impl IntoIterator<Item = I>) -> Self {
        self.only = Some(ids.into_iter().map(Into::into).collect());
        self
    }

    /// Sets the time limit of each rule. A rule that takes longer fails.
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = limit;
        self
    }

    /// Checks the selected rules against the store of `harness`. Needs a Tokio runtime with time enabled.
    pub async fn run(&self, harness: &dyn Harness) -> Report {
        let run = run_label(harness);
        let store = self.open(harness).await;
        let mut results = Vec::new();
        for rule in rules().filter(|rule| self.is_selected(rule)) {
            let begun = Instant::now();
            let outcome = match &store {
                Ok(store) => match exception(rule, harness).or_else(|| unsupported(rule, store.capabilities())) {
                    Some(outcome) => outcome,
                    None => self.check(rule, harness, &format!("{run}-{}", rule.id.to_ascii_lowercase())).await,
                },
                Err(outcome) => outcome.clone(),
            };
            results.push(RuleReport { id: rule.id, title: rule.title, outcome, time: begun.elapsed() });
        }
        let _ = self.bounded(harness.clean_up()).await;
        let name = store.map(|store| store.name().to_owned()).unwrap_or_default();
        Report::new(name, results, self.unknown_ids())
    }

    fn is_selected(&self, rule: &Rule) -> bool {
        self.only.as_ref().is_none_or(|ids| ids.iter().any(|id| id == rule.id))
    }

    fn unknown_ids(&self) -> Vec<String> {
        let given = self.only.iter().flatten();
        given.filter(|id| rules().all(|rule| rule.id != id.as_str())).cloned().collect()
    }

    /// Opens the store, and checks that it supports uploads. An error is the outcome of every rule.
    async fn open(&self, harness: &dyn Harness) -> Result<Store, Outcome> {
        let label = format!("{}-probe", run_label(harness));
        let probe = async {
            let store = harness.open().await.map_err(|error| format!("open: {}", described(&error)))?;
            let case = Case::new(harness, store.clone(), label);
            let sent = case.send(Upload::new(case.name("probe.txt"), "probe")).await;
            case.delete_all().await;
            Ok::<_, String>((store, sent.err()))
        };
        match self.bounded(probe).await {
            // Only a store without uploads is skipped; the rules report every other failure.
            Ok(Ok((_, Some(error)))) if error.kind() == ErrorKind::Unsupported => {
                Err(Outcome::Skipped { capability: "upload".to_owned(), reason: error.message().to_owned() })
            }
            Ok(Ok((store, _))) => Ok(store),
            Ok(Err(by)) | Err(by) => Err(Outcome::Blocked { by }),
        }
    }

    async fn check(&self, rule: &Rule, harness: &dyn Harness, label: &str) -> Outcome {
        let store = match self.bounded(harness.open()).await {
            Ok(Ok(store)) => store,
            Ok(Err(error)) => return Outcome::Blocked { by: format!("open: {}", described(&error)) },
            Err(by) => return Outcome::Blocked { by: format!("open: {by}") },
        };
        let case = Case::new(harness, store, label.to_owned());
        let verdict = self.bounded((rule.check)(&case)).await;
        // The case is cleaned up however the rule ended.
        let _ = self.bounded(case.end_disturbance()).await;
        // A failed delete is the subject of the rules X1 to X3.
        let _ = self.bounded(case.delete_all()).await;
        match verdict {
            Ok(Ok(())) => Outcome::Passed,
            Ok(Err(Stop::Failed { expected, seen })) => Outcome::Failed { expected, seen },
            Ok(Err(Stop::Skipped { capability, reason })) => Outcome::Skipped { capability, reason },
            Ok(Err(Stop::Blocked { by })) => Outcome::Blocked { by },
            Err(seen) => Outcome::Failed { expected: "the rule ends in time and without a panic".to_owned(), seen },
        }
    }

    /// Runs `steps` within the time limit. Returns the result, or a text about the panic or the timeout.
    async fn bounded<T>(&self, steps: impl Future<Output = T> + Send) -> Result<T, String> {
        let caught = AssertUnwindSafe(steps).catch_unwind();
        match tokio::time::timeout(self.time_limit, caught).await {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(panic)) => Err(panic_message(panic.as_ref())),
            Err(_) => Err(format!("no end within {:?}", self.time_limit)),
        }
    }
}

/// Returns the skipped outcome of `rule` if the harness states that the service cannot keep it.
fn exception(rule: &Rule, harness: &dyn Harness) -> Option<Outcome> {
    let reason = harness.exception(rule.id)?;
    Some(Outcome::Skipped { capability: "harness: exception".to_owned(), reason })
}

/// Returns the skipped outcome of `rule` for the first feature that it needs and the store lacks.
fn unsupported(rule: &Rule, capabilities: &Capabilities) -> Option<Outcome> {
    rule.needs.iter().find_map(|feature| match capabilities.support(*feature) {
        Support::Unsupported { reason } => {
            Some(Outcome::Skipped { capability: feature.to_string(), reason: reason.to_string() })
        }
        _ => None,
    })
}

/// Returns a new label in every call, so that concurrent and later runs use other scopes and names.
fn run_label(harness: &dyn Harness) -> String {
    static RUNS: AtomicU64 = AtomicU64::new(0);
    let run = RUNS.fetch_add(1, Ordering::Relaxed);
    let time = harness.now().as_millisecond();
    format!("conformance-{time:x}-{:x}-{run:x}", std::process::id())
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("a panic: {}", text.unwrap_or("without a message"))
}
