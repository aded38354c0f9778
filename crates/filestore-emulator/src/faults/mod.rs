//! Faults: rules that make the emulator deviate from a service that works.
//!
//! A [`FaultPlan`] is a list of rules. Each rule matches requests and applies one fault to them. Whether a rule fires
//! depends on the seed, the rule, the operation and the number of the matching request, and never on a shared random
//! stream. So the same seed gives the same faults, however requests to different operations interleave.

mod corrupt;
mod rule;

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::{fs, io};

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use toml::Spanned;

pub(crate) use corrupt::{ContentTamper, tamper_with_request, tamper_with_response};
pub(crate) use rule::{Fault, HeadPolicy, Plan, ResetAt, RetryAfter};

use crate::service::{Operation, ServiceName, Target};
use rule::Rule;

/// A valid set of fault rules for [`Emulator::set_faults`](crate::Emulator::set_faults).
///
/// `docs/emulator.md` describes the format of fault files.
#[derive(Clone, Debug, Default)]
pub struct FaultPlan {
    seed: u64,
    rules: Vec<Rule>,
}

/// The error of fault rules that are rejected. The message names the line or the rule, and the key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FaultPlanError {
    /// The file cannot be read.
    #[error("cannot read the file: {0}")]
    Read(#[from] io::Error),
    /// The rules are not TOML, or have an unknown key or an invalid value.
    #[error("{0}")]
    Toml(#[from] toml::de::Error),
    /// The rules are not JSON, or have an unknown key or an invalid value.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// A rule can never have an effect.
    #[error("{place}: {problem}")]
    Rule {
        /// The line of the rule in TOML, its number from 1 in JSON.
        place: String,
        /// The problem with the rule.
        problem: String,
    },
}

/// The format of a fault file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, bound = "R: Deserialize<'de>")]
struct PlanFile<R> {
    #[serde(default)]
    seed: u64,
    #[serde(default = "Vec::new", rename = "fault")]
    rules: Vec<R>,
}

impl FaultPlan {
    /// Reads a fault file: JSON if its name ends in `.json`, TOML otherwise.
    ///
    /// # Errors
    /// The file cannot be read, or an error as of [`FaultPlan::from_toml`].
    pub fn read(path: &Path) -> Result<Self, FaultPlanError> {
        let text = fs::read_to_string(path)?;
        if path.extension().is_some_and(|extension| extension == "json") {
            Self::from_json(&text)
        } else {
            Self::from_toml(&text)
        }
    }

    /// Parses rules in TOML.
    ///
    /// # Errors
    /// The text is not TOML, has an unknown key or an invalid value, or has a rule that can never have an effect.
    pub fn from_toml(text: &str) -> Result<Self, FaultPlanError> {
        let file: PlanFile<Spanned<Rule>> = toml::from_str(text)?;
        let line = |span: Range<usize>| 1 + text[..span.start].matches('\n').count();
        let rules = file.rules.into_iter().map(|rule| (format!("line {}", line(rule.span())), rule.into_inner()));
        Self::checked(file.seed, rules)
    }

    /// Parses rules in JSON: `{"seed": 1, "fault": [{"do": "lost-answer"}]}`.
    ///
    /// # Errors
    /// As of [`FaultPlan::from_toml`], for JSON.
    pub fn from_json(text: &str) -> Result<Self, FaultPlanError> {
        let file: PlanFile<Rule> = serde_json::from_str(text)?;
        let rules = file.rules.into_iter().zip(1..).map(|(rule, number)| (format!("fault {number}"), rule));
        Self::checked(file.seed, rules)
    }

    fn checked(seed: u64, rules: impl Iterator<Item = (String, Rule)>) -> Result<Self, FaultPlanError> {
        let rules = rules
            .map(|(place, rule)| match problem_of(&rule) {
                Some(problem) => Err(FaultPlanError::Rule { place, problem }),
                None => Ok(rule),
            })
            .collect::<Result<_, _>>()?;
        Ok(FaultPlan { seed, rules })
    }
}

/// Returns the reason why a rule can never have an effect, if there is one.
fn problem_of(rule: &Rule) -> Option<String> {
    let services = match rule.service {
        Some(service) => vec![service],
        None => ServiceName::ALL.to_vec(),
    };
    let all: Vec<_> =
        services.iter().flat_map(|service| service.operations().iter().map(|one| (*service, one))).collect();
    // The keys of the rule narrow the operations one after another. The problem names the first key that leaves none.
    let named: Vec<_> = match rule.operation.as_deref() {
        Some(name) => all.iter().copied().filter(|(_, operation)| operation.name == name).collect(),
        None => all.clone(),
    };
    let operation = rule.operation.as_deref().unwrap_or_default();
    if named.is_empty() {
        return Some(format!("`operation = \"{operation}\"` does not exist; there are {}", names(&all)));
    }
    let fits = |(service, operation): &(ServiceName, &Operation)| rule.fault.fits(*service, operation);
    if !named.iter().any(fits) {
        let possible: Vec<_> = all.iter().copied().filter(fits).collect();
        let kind = rule.fault.kind();
        return Some(match possible.as_slice() {
            [] => format!("`do = {kind}` has no effect on this service"),
            possible => {
                format!("`do = {kind}` has no effect on `operation = \"{operation}\"`, only on {}", names(possible))
            }
        });
    }
    if rule.key.is_some() && !named.iter().any(|(_, operation)| operation.has_key) {
        return Some(format!("`operation = \"{operation}\"` has no key in its path"));
    }
    if let Some(step) = rule.step.as_deref()
        && !named.iter().any(|(_, operation)| operation.steps.contains(&step))
    {
        let known: Vec<&str> = named.iter().flat_map(|(_, operation)| operation.steps).copied().collect();
        return Some(match known.as_slice() {
            [] => "`step` matches nothing: the matched operations are one request each".to_owned(),
            known => format!("`step = \"{step}\"` does not exist; there are {}", known.join(", ")),
        });
    }
    if let Some(step) = rule.step.as_deref()
        && !named
            .iter()
            .any(|(service, operation)| operation.steps.contains(&step) && rule.fault.fits_step(*service, Some(step)))
    {
        return Some(format!("`do = {}` has no effect on `step = \"{step}\"`", rule.fault.kind()));
    }
    if rule.part.is_some() && !named.iter().any(|(_, operation)| operation.has_parts) {
        return Some("`part` matches nothing: the matched operations send nothing in parts".to_owned());
    }
    None
}

/// Returns the names of the operations, each once.
fn names(operations: &[(ServiceName, &Operation)]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for (_, operation) in operations {
        if !names.contains(&operation.name) {
            names.push(operation.name);
        }
    }
    names.join(", ")
}

/// The current fault rules and their counters.
#[derive(Debug, Default)]
pub(crate) struct Faults(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    plan: FaultPlan,
    /// The number of matching requests, by the index of the rule and by [`CounterKey`].
    matched: HashMap<(usize, CounterKey), u64>,
    /// The number of times that each rule fired, by its index.
    fired: HashMap<usize, u64>,
    /// The times of the requests that rate limits allowed in the last minute, by the index of the rule and by caller.
    recent: HashMap<(usize, String), VecDeque<Timestamp>>,
    /// The time at which callers without recent requests were last removed from `recent`.
    swept: Timestamp,
}

/// The service, operation, step and part of a request. A rule counts the requests of each separately.
type CounterKey = (ServiceName, &'static str, Option<&'static str>, Option<u32>);

impl Faults {
    /// Replaces the rules and resets the counters.
    pub(crate) fn load(&self, plan: FaultPlan) {
        *self.lock() = State { plan, ..State::default() };
    }

    /// Returns the faults for a request and counts it. Must be called once for each request.
    pub(crate) fn apply(&self, target: &Target, caller: &str, now: Timestamp) -> Effects {
        let mut state = self.lock();
        let State { plan, matched, fired, recent, swept } = &mut *state;
        let mut effects = Effects::default();
        for (index, rule) in plan.rules.iter().enumerate().filter(|(_, rule)| rule.matches(target)) {
            let counter_key = (target.service, target.operation, target.step, target.part);
            let nth = matched.entry((index, counter_key)).or_default();
            *nth += 1;
            let fired = fired.entry(index).or_default();
            if !rule.fires(plan.seed, index, counter_key, *nth) || rule.times.is_some_and(|times| *fired >= times.get())
            {
                continue;
            }
            if let Fault::RateLimit { per_minute, .. } = &rule.fault {
                if !is_recent(*swept, now) {
                    *swept = now;
                    recent.retain(|_, times| times.back().is_some_and(|last| is_recent(*last, now)));
                }
                let recent = recent.entry((index, caller.to_owned())).or_default();
                if is_within_rate(recent, per_minute.get(), now) {
                    continue;
                }
            }
            *fired += 1;
            effects.names.push(rule.name.clone().unwrap_or_else(|| rule.fault.kind().to_owned()));
            effects.faults.push(rule.fault.clone().numbered(*nth));
        }
        effects
    }

    /// Returns the name of each rule and the number of times it fired, in the order of the plan.
    pub(crate) fn fired(&self) -> Vec<(String, u64)> {
        let state = self.lock();
        let rules = state.plan.rules.iter().enumerate();
        rules
            .map(|(index, rule)| {
                let name = rule.name.clone().unwrap_or_else(|| rule.fault.kind().to_owned());
                (name, state.fired.get(&index).copied().unwrap_or(0))
            })
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rule {
    fn matches(&self, target: &Target) -> bool {
        self.service.is_none_or(|service| service == target.service)
            && self.operation.as_deref().is_none_or(|operation| operation == target.operation)
            && self.step.as_deref().is_none_or(|step| Some(step) == target.step)
            && self.part.is_none_or(|part| Some(part.get()) == target.part)
            && self.key.as_ref().is_none_or(|key| Some(key) == target.key.as_ref())
            && target
                .service
                .operations()
                .iter()
                .any(|one| one.name == target.operation && self.fault.fits(target.service, one))
            && self.fault.fits_step(target.service, target.step)
    }

    /// Returns `true` if the rule fires for the `nth` matching request.
    fn fires(&self, seed: u64, index: usize, counter_key: CounterKey, nth: u64) -> bool {
        self.nth.is_none_or(|number| number.get() == nth)
            && self.probability.is_none_or(|probability| chance(seed, index, counter_key, nth) < probability)
    }
}

/// Returns a number from 0 to below 1 that depends only on the arguments.
fn chance(seed: u64, index: usize, (service, operation, step, part): CounterKey, nth: u64) -> f64 {
    let service = service.as_str();
    let text = format!("{seed}/{index}/{service}/{operation}/{step:?}/{part:?}/{nth}");
    // FNV-1a and the finalizer of SplitMix64: stable across releases, unlike the hasher of std.
    let hash = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let mixed = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let mixed = mixed ^ (mixed >> 31);
    // The upper 32 bits are enough, and an f64 represents them exactly.
    f64::from((mixed >> 32) as u32) / 2_f64.powi(32)
}

/// Returns `true` if `time` is in the minute before `now`. A time after it is from before the clock was moved back.
fn is_recent(time: Timestamp, now: Timestamp) -> bool {
    (SignedDuration::ZERO..SignedDuration::from_mins(1)).contains(&now.duration_since(time))
}

/// Returns `true` if one more request is within the rate, and then adds it to `recent`.
fn is_within_rate(recent: &mut VecDeque<Timestamp>, per_minute: u32, now: Timestamp) -> bool {
    while recent.front().is_some_and(|first| !is_recent(*first, now)) {
        recent.pop_front();
    }
    let is_within = recent.len() < per_minute as usize;
    if is_within {
        recent.push_back(now);
    }
    is_within
}

/// The faults that apply to one request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Effects {
    names: Vec<String>,
    faults: Vec<Fault>,
}

impl Effects {
    /// Returns the names of the rules, for the journal.
    pub(crate) fn names(&self) -> Vec<String> {
        self.names.clone()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.faults.iter()
    }

    /// Returns the first value that `select` returns for a fault.
    pub(crate) fn find<T>(&self, select: impl FnMut(&Fault) -> Option<T>) -> Option<T> {
        self.faults.iter().find_map(select)
    }

    pub(crate) fn any(&self, predicate: impl FnMut(&Fault) -> bool) -> bool {
        self.faults.iter().any(predicate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_are_forgotten_a_minute_after_their_last_request() {
        let faults = Faults::default();
        faults.load(FaultPlan::from_toml("[[fault]]\ndo = { rate-limit = { per_minute = 1 } }").unwrap());
        let target = Target { service: ServiceName::Fileio, operation: "me", step: None, part: None, key: None };
        let rejects = |caller: &str, second| {
            let now = Timestamp::from_second(second).unwrap();
            faults.apply(&target, caller, now).any(|fault| matches!(fault, Fault::RateLimit { .. }))
        };
        let start = 1_000_000;
        assert!(!rejects("", start));
        for number in 0..100 {
            assert!(!rejects(&number.to_string(), start + 1));
        }
        assert!(rejects("99", start + 59));
        assert_eq!(faults.lock().recent.len(), 101);
        assert!(!rejects("99", start + 61));
        assert_eq!(faults.lock().recent.len(), 1);
        assert!(!rejects("99", start), "the clock was moved back");
    }
}
