//! The kit tests itself: honest stores keep every rule, and for every rule there is a store that breaks
//! it and is found out.

mod deeds;
mod memory;
mod report;
mod saboteur;

use std::collections::BTreeSet;

use filestore_conformance::{Kit, Outcome, rules, run};

use memory::Shape;
use saboteur::MemoryHarness;

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
    let mut at_large = Vec::new();
    for saboteur in deeds::all() {
        let report = Kit::new().only([saboteur.rule]).run(&saboteur.harness()).await;
        let caught = matches!(report.outcome(saboteur.rule), Some(Outcome::Failed { .. })) && !report.passed();
        if !caught {
            at_large.push(format!("a store that {} gets away:\n{report}", saboteur.deed));
        }
    }
    assert!(at_large.is_empty(), "{}", at_large.join("\n\n"));
}

#[test]
fn every_rule_has_a_saboteur() {
    let broken: BTreeSet<_> = deeds::all().iter().map(|saboteur| saboteur.rule).collect();
    let safe: Vec<_> = rules().map(|rule| rule.id).filter(|id| !broken.contains(id)).collect();
    assert!(safe.is_empty(), "nobody breaks {safe:?}");
}
