//! [`Kit`]: runs the rules one after the other, whatever a store does.

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

/// The kit with settings: which rules, and how long each may take.
#[derive(Debug, Clone)]
pub struct Kit {
    only: Option<Vec<String>>,
    time_limit: Duration,
}

impl Default for Kit {
    fn default() -> Self {
        // The rule of strange names sends some two hundred requests.
        Self { only: None, time_limit: Duration::from_secs(120) }
    }
}

impl Kit {
    /// All rules, each within two minutes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only the rules with these ids; an id that no rule has fails the report.
    pub fn only<I: Into<String>>(mut self, ids: impl IntoIterator<Item = I>) -> Self {
        self.only = Some(ids.into_iter().map(Into::into).collect());
        self
    }

    /// A rule that takes longer than this has failed.
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = limit;
        self
    }

    /// Checks the rules against the store of `harness`. Runs in a Tokio runtime with time enabled.
    pub async fn run(&self, harness: &dyn Harness) -> Report {
        let run = run_label(harness);
        let store = self.open(harness).await;
        let mut results = Vec::new();
        for rule in rules().filter(|rule| self.wants(rule)) {
            let begun = Instant::now();
            let outcome = match &store {
                Ok(store) => match obstacle(rule, store.capabilities()) {
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

    fn wants(&self, rule: &Rule) -> bool {
        self.only.as_ref().is_none_or(|ids| ids.iter().any(|id| id == rule.id))
    }

    fn unknown_ids(&self) -> Vec<String> {
        let given = self.only.iter().flatten();
        given.filter(|id| rules().all(|rule| rule.id != id.as_str())).cloned().collect()
    }

    /// Opens the store and finds out whether it takes files at all. `Err` is what becomes of every rule.
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
            // Only a store that has no uploads is left alone; any other failure belongs to the rules.
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
        // However the rule ended, nothing of it stays.
        let _ = self.bounded(case.calm()).await;
        // A failure here belongs to the rules of chapter X.
        let _ = self.bounded(case.delete_all()).await;
        match verdict {
            Ok(Ok(())) => Outcome::Passed,
            Ok(Err(Stop::Failed { expected, seen })) => Outcome::Failed { expected, seen },
            Ok(Err(Stop::Skipped { capability, reason })) => Outcome::Skipped { capability, reason },
            Ok(Err(Stop::Blocked { by })) => Outcome::Blocked { by },
            Err(seen) => Outcome::Failed { expected: "an end without panic and in time".to_owned(), seen },
        }
    }

    /// The result of `steps`, or the panic or the hang that kept it from having one.
    async fn bounded<T>(&self, steps: impl Future<Output = T> + Send) -> Result<T, String> {
        let caught = AssertUnwindSafe(steps).catch_unwind();
        match tokio::time::timeout(self.time_limit, caught).await {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(panic)) => Err(panic_message(panic.as_ref())),
            Err(_) => Err(format!("nothing within {:?}", self.time_limit)),
        }
    }
}

/// The first feature that `rule` needs and the store lacks.
fn obstacle(rule: &Rule, capabilities: &Capabilities) -> Option<Outcome> {
    rule.needs.iter().find_map(|feature| match capabilities.support(*feature) {
        Support::Unsupported { reason } => {
            Some(Outcome::Skipped { capability: feature.to_string(), reason: reason.to_string() })
        }
        _ => None,
    })
}

/// New in every call, so that runs at the same time and runs after each other do not meet.
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
