//! The kit tests itself: honest stores keep every rule, and for every rule there is a store that breaks
//! it and is found out.

mod broken_store;
mod memory;
mod mutations;
mod report;

use std::collections::BTreeSet;

use filestore_conformance::{Kit, Outcome, rules, run};

use broken_store::MemoryHarness;
use memory::Shape;

async fn an_honest_store_passes(shape: Shape) -> BTreeSet<&'static str> {
    let report = run(&MemoryHarness::honest(shape)).await;
    assert!(report.passed(), "{report}");
    report.rules.iter().filter(|rule| rule.outcome == Outcome::Passed).map(|rule| rule.id).collect()
}

#[tokio::test]
async fn honest_stores_pass_and_together_show_every_rule() {
    let mut shown = BTreeSet::new();
    for shape in [Shape::Paths, Shape::Channels, Shape::Keys] {
        shown.extend(an_honest_store_passes(shape).await);
    }
    let missing: Vec<_> = rules().map(|rule| rule.id).filter(|id| !shown.contains(id)).collect();
    assert!(missing.is_empty(), "no honest store shows {missing:?}");
}

#[tokio::test]
async fn every_saboteur_is_caught_by_the_rule_it_breaks() {
    let mut undetected = Vec::new();
    for broken_store in mutations::all() {
        let report = Kit::new().only([broken_store.rule]).run(&broken_store.harness()).await;
        let caught = matches!(report.outcome(broken_store.rule), Some(Outcome::Failed { .. })) && !report.passed();
        if !caught {
            undetected.push(format!("a store that {} gets away:\n{report}", broken_store.mutation));
        }
    }
    assert!(undetected.is_empty(), "{}", undetected.join("\n\n"));
}

#[test]
fn every_rule_has_a_saboteur() {
    let broken: BTreeSet<_> = mutations::all().iter().map(|broken_store| broken_store.rule).collect();
    let safe: Vec<_> = rules().map(|rule| rule.id).filter(|id| !broken.contains(id)).collect();
    assert!(safe.is_empty(), "nobody breaks {safe:?}");
}
