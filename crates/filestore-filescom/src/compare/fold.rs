//! The folding of single characters.
//!
//! Most characters fold by Unicode's compatibility decomposition, which never changes for an assigned character.
//! `folding.txt` has the others: a line for each run of characters whose folding is not that of their decomposition.
//!
//! | line | meaning |
//! |---|---|
//! | `0300-034E` | these fold to nothing |
//! | `00C6 0061 0065` | this folds to these two |
//! | `0110-0111 0064` | each of these folds to this |
//! | `0041-005A +0061` | the first of these folds to this, the next one to the next one, ... |
//! | `0182-0184/2 +0183` | the same for every second character |
//!
//! The table was generated from `allkeys.txt` of UCA 9.0.0: characters with the same primary weights are equal, and the
//! lowest of them that does not decompose stands for all, in its case-folded form. MySQL differs in three
//! things: it cuts ﷺ (U+FDFA) after eight weights, takes U+D7A4 to U+D7AF for Hangul syllables, and gives
//! characters that came after Unicode 9 weights of their own.

use std::iter;
use std::sync::LazyLock;

use icu_normalizer::DecomposingNormalizerBorrowed;

const NFKD: DecomposingNormalizerBorrowed<'static> = DecomposingNormalizerBorrowed::new_nfkd();

/// The lines of `folding.txt`, in the order of their characters.
static RUNS: LazyLock<Vec<Run>> =
    LazyLock::new(|| include_str!("folding.txt").lines().map(|line| Run::parse(line).expect("a line")).collect());

/// A run of characters that fold by one rule.
struct Run {
    first: char,
    last: char,
    step: u32,
    /// `true` if the target advances with the character.
    shifts: bool,
    target: String,
}

/// Returns `text` with each character folded.
pub(super) fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for c in text.chars() {
        // The fast path: most names are ASCII.
        if matches!(c, ' '..='~') {
            folded.push(c.to_ascii_lowercase());
        } else if !push_run(c, &mut folded) {
            NFKD.normalize_iter(iter::once(c)).for_each(|part| {
                if !push_run(part, &mut folded) {
                    folded.push(part);
                }
            });
        }
    }
    folded
}

/// Pushes the folding of `c` in the table; returns `false` if `c` is not in it.
fn push_run(c: char, folded: &mut String) -> bool {
    let at = RUNS.partition_point(|run| run.last < c);
    let Some(run) = RUNS.get(at).filter(|run| run.first <= c) else { return false };
    let offset = u32::from(c) - u32::from(run.first);
    if offset % run.step != 0 {
        return false;
    }
    if run.shifts {
        folded.extend(run.target.chars().filter_map(|target| char::from_u32(u32::from(target) + offset)));
    } else {
        folded.push_str(&run.target);
    }
    true
}

impl Run {
    fn parse(line: &str) -> Option<Self> {
        let (range, target) = line.split_once(' ').unwrap_or((line, ""));
        let (range, step) = range.split_once('/').unwrap_or((range, "1"));
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (target, shifts) = target.strip_prefix('+').map_or((target, false), |target| (target, true));
        let target = target.split_whitespace().map(character).collect::<Option<String>>()?;
        Some(Self { first: character(first)?, last: character(last)?, step: step.parse().ok()?, shifts, target })
    }
}

fn character(hex: &str) -> Option<char> {
    char::from_u32(u32::from_str_radix(hex, 16).ok()?)
}
