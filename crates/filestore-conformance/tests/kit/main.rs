//! Tests of the kit: correct stores pass every rule, and for every rule the kit detects a store that breaks it.

mod broken_store;
mod memory;
mod mutations;
mod report;

use std::collections::BTreeSet;

use filestore_conformance::{Kit, Outcome, rules, run};

use broken_store::MemoryHarness;
use memory::Shape;

/// Runs all rules on a correct store, and returns the ids of those that passed and were not skipped.
async fn passed_rules(shape: Shape) -> BTreeSet<&'static str> {
    let report = run(&MemoryHarness::correct(shape)).await;
    assert!(report.passed(), "{report}");
    report.rules.iter().filter(|rule| rule.outcome == Outcome::Passed).map(|rule| rule.id).collect()
}

#[tokio::test]
async fn correct_stores_pass_and_every_rule_applies_to_one_of_them() {
    let mut passed = BTreeSet::new();
    for shape in [Shape::Paths, Shape::Channels, Shape::Keys] {
        passed.extend(passed_rules(shape).await);
    }
    let missing: Vec<_> = rules().map(|rule| rule.id).filter(|id| !passed.contains(id)).collect();
    assert!(missing.is_empty(), "these rules apply to no correct store: {missing:?}");
}

#[tokio::test]
async fn every_broken_store_fails_the_rule_that_it_breaks() {
    let mut undetected = Vec::new();
    for broken_store in mutations::all() {
        let report = Kit::new().only([broken_store.rule]).run(&broken_store.harness()).await;
        let is_detected = matches!(report.outcome(broken_store.rule), Some(Outcome::Failed { .. })) && !report.passed();
        if !is_detected {
            undetected.push(format!("a store that {} is not detected:\n{report}", broken_store.mutation));
        }
    }
    assert!(undetected.is_empty(), "{}", undetected.join("\n\n"));
}

#[test]
fn every_rule_is_broken_by_a_store() {
    let broken: BTreeSet<_> = mutations::all().iter().map(|broken_store| broken_store.rule).collect();
    let unbroken: Vec<_> = rules().map(|rule| rule.id).filter(|id| !broken.contains(id)).collect();
    assert!(unbroken.is_empty(), "no broken store breaks {unbroken:?}");
}
