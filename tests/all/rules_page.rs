//! `docs/conformance.md` describes exactly the rules in the code.

use filestore_conformance::rules;

const PAGE: &str = include_str!("../../docs/conformance.md");

/// The description of a rule in the page: `**ID. Title.** Text. *Binds: ...*`
struct Paragraph {
    id: String,
    title: String,
    binds: String,
}

fn paragraphs() -> Vec<Paragraph> {
    let rules = PAGE.split_once("\n## The rules\n").expect("the section of the rules").1;
    rules
        .split("\n\n")
        .filter_map(|paragraph| {
            let paragraph = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
            let (title, text) = paragraph.strip_prefix("**")?.split_once("**")?;
            let (id, title) = title.split_once(". ").expect("an id and a title");
            let (_, binds) = text.split_once("*Binds: ").expect("what the rule binds");
            Some(Paragraph { id: id.into(), title: title.into(), binds: binds.into() })
        })
        .collect()
}

#[test]
fn the_page_has_the_ids_and_titles_of_the_code_in_the_same_order() {
    let page: Vec<_> = paragraphs().into_iter().map(|rule| (rule.id, rule.title)).collect();
    let code: Vec<_> = rules().map(|rule| (rule.id.to_owned(), rule.title.to_owned())).collect();
    assert_eq!(page, code);
}

#[test]
fn the_page_names_every_feature_that_binds_a_rule() {
    for (paragraph, rule) in paragraphs().iter().zip(rules()) {
        for feature in rule.needs {
            assert!(paragraph.binds.contains(feature.as_str()), "{}: {feature}", rule.id);
        }
    }
}

#[test]
fn every_id_is_unique() {
    let mut ids: Vec<_> = rules().map(|rule| rule.id).collect();
    ids.sort_unstable();
    ids.windows(2).for_each(|pair| assert_ne!(pair[0], pair[1]));
}
