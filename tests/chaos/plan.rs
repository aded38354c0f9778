//! The plan of a run: its rounds, derived from a seed.

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};

use crate::history::{Event, Interrupt, Operation, Round, Step, StoreName};

/// The names of uploads: a plain one, one with a space, one with a percent sign and one that is not ASCII.
pub const NAMES: [&str; 4] = ["a.txt", "b b.txt", "c%20.bin", "ü.txt"];

/// The sizes of most uploads, in bytes.
const SIZES: [u32; 8] = [0, 1, 7, 100, 1000, 5000, 70_000, 300_000];

/// Returns a size that the store sends in parts, or almost the largest that it accepts, in bytes.
fn large(store: StoreName) -> u32 {
    if store == StoreName::Pubnub { 5_000_000 } else { 11 << 20 }
}

/// The parameters of a plan.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub seed: u64,
    pub clients: usize,
    /// `true` if the operations run in processes, which can be killed.
    pub processes: bool,
    /// `true` if there is a server of S3. It has no faults, and no steps on it are interrupted, because nothing tells
    /// when its requests have ended.
    pub s3: bool,
}

impl Plan {
    /// Returns the round with this number. It does not depend on other rounds.
    pub fn round(&self, number: u64) -> Round {
        let rng = StdRng::seed_from_u64(self.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(number));
        Planner { plan: self, rng }.round(number)
    }

    fn stores(&self) -> Vec<StoreName> {
        let is_there = |store: &StoreName| match store {
            // A process has a memory of its own.
            StoreName::Memory => !self.processes,
            StoreName::S3 => self.s3,
            _ => true,
        };
        StoreName::ALL.into_iter().filter(is_there).collect()
    }
}

struct Planner<'a> {
    plan: &'a Plan,
    rng: StdRng,
}

impl Planner<'_> {
    fn one_in(&mut self, n: u32) -> bool {
        self.rng.random_range(0..n) == 0
    }

    fn choose<T: Clone>(&mut self, values: &[T]) -> T {
        values.choose(&mut self.rng).expect("a choice has values").clone()
    }

    fn round(&mut self, number: u64) -> Round {
        let event = match self.rng.random_range(0..60) {
            0 => Some(Event::Restart),
            1..4 => Some(Event::Advance { hours: self.choose(&[1, 30, 200, 900]) }),
            _ => None,
        };
        let steps = match self.rng.random_range(0..10) {
            0 => self.contest(),
            _ => (0..self.plan.clients).map(|client| self.step(client)).collect(),
        };
        let faults = self.faults(&steps);
        let kill_emulator = (self.plan.processes && self.one_in(15)).then(|| self.rng.random_range(1..12));
        Round { number, event, faults, kill_emulator, steps }
    }

    /// All clients compete for one file.
    fn contest(&mut self) -> Vec<Step> {
        let stores: Vec<_> =
            self.plan.stores().into_iter().filter(|store| !store.adds() && *store != StoreName::S3).collect();
        let (store, operation) = match self.one_in(2) {
            true => (StoreName::Fileio, Operation::ReadContested),
            false => (self.choose(&stores), Operation::CreateContested { size: self.choose(&SIZES[3..]) }),
        };
        let interrupts = self.one_in(3);
        let step = |client| Step { client, store, operation: operation.clone(), interrupt: None };
        let mut steps: Vec<_> = (0..self.plan.clients).map(step).collect();
        if interrupts {
            steps[0].interrupt = Some(self.interrupt());
        }
        steps
    }

    fn step(&mut self, client: usize) -> Step {
        let store = self.choose(&self.plan.stores());
        let operation = if self.one_in(6) { self.many(store) } else { self.operation(store) };
        let is_many = matches!(operation, Operation::Many { .. });
        let is_interrupted = self.one_in(if is_many { 6 } else { 12 }) && store != StoreName::S3;
        let interrupt = is_interrupted.then(|| match is_many && !self.plan.processes && self.one_in(2) {
            true => Interrupt::Stop { requests: self.rng.random_range(0..12) },
            false => self.interrupt(),
        });
        Step { client, store, operation, interrupt }
    }

    fn interrupt(&mut self) -> Interrupt {
        match self.plan.processes {
            true => Interrupt::Signal {
                requests: self.rng.random_range(0..8),
                signal: self.choose(&["KILL", "KILL", "INT", "TERM", "HUP"]).to_owned(),
            },
            false => Interrupt::Drop { polls: self.rng.random_range(0..16) },
        }
    }

    /// One command for many files.
    fn many(&mut self, store: StoreName) -> Operation {
        let (mut picks, mut sizes) = ([0, 1, 2, 3], SIZES);
        picks.shuffle(&mut self.rng);
        sizes.shuffle(&mut self.rng);
        let files = picks.iter().zip(sizes).take(self.choose(&[2, 3, 4]));
        let (tree, jobs) = (self.one_in(2), self.choose(&[None, None, Some(1), Some(2)]));
        let has_folders = matches!(store, StoreName::Filescom | StoreName::Fs | StoreName::Memory);
        let (create_new, downloads) = (!store.adds() && self.one_in(6), self.choose(&[1, 1, 2]));
        let upload = |(pick, size): (&usize, u32)| Operation::Upload {
            pick: *pick,
            size,
            create_new,
            source_fails: false,
            downloads,
            days: None,
            content: None,
        };
        let skip = !store.adds() && !create_new && self.one_in(2);
        match self.rng.random_range(0..10) {
            0..5 => Operation::Many { parts: files.map(upload).collect(), tree, skip, jobs },
            5..8 => {
                let parts = files.map(|(pick, _)| Operation::Download { pick: *pick, to_file: true }).collect();
                Operation::Many { parts, tree, skip: false, jobs }
            }
            _ => {
                let parts = files.map(|(pick, _)| Operation::Delete { pick: *pick }).collect();
                Operation::Many { parts, tree: tree && has_folders, skip: false, jobs }
            }
        }
    }

    fn operation(&mut self, store: StoreName) -> Operation {
        let pick = self.rng.random_range(0..NAMES.len());
        let to = (pick + self.rng.random_range(1..NAMES.len())) % NAMES.len();
        match self.rng.random_range(0..100) {
            0..40 => Operation::Upload {
                pick,
                size: if self.one_in(200) { large(store) } else { self.choose(&SIZES) },
                create_new: !store.adds() && self.one_in(3),
                source_fails: !self.plan.processes && self.one_in(15),
                downloads: self.choose(&[1, 1, 2, 3]),
                days: (store == StoreName::Fileio && self.one_in(3)).then_some(3),
                content: None,
            },
            40..58 => Operation::Download { pick, to_file: self.plan.processes || self.one_in(2) },
            58..66 => Operation::Stat { pick },
            66..78 => Operation::Delete { pick },
            78..88 => Operation::List { limit: self.choose(&[None, Some(1), Some(2)]) },
            88..92 if store != StoreName::Fs && store != StoreName::Memory => Operation::Url { pick },
            88..94 if store == StoreName::Filescom => Operation::Copy { pick, to, overwrite: self.one_in(2) },
            94.. if store == StoreName::Filescom => Operation::Move { pick, to, overwrite: self.one_in(2) },
            _ => Operation::Download { pick, to_file: true },
        }
    }

    fn faults(&mut self, steps: &[Step]) -> Vec<String> {
        let remote = |step: &&Step| !matches!(step.store, StoreName::Fs | StoreName::Memory | StoreName::S3);
        let targets: Vec<&Step> = steps.iter().filter(remote).collect();
        let count = self.choose(&[0, 1, 1, 1, 2, 2]);
        if targets.is_empty() {
            return Vec::new();
        }
        let has_many = steps.iter().any(|step| matches!(step.operation, Operation::Many { .. }));
        let faults = (0..count).map(|_| {
            let step = self.choose(&targets);
            self.fault(step)
        });
        // A transfer of many files waits for as long as the service asks for, which is a minute for these.
        faults.filter(|rule| !(has_many && LONG_WAITS.iter().any(|wait| rule.contains(wait)))).collect()
    }

    fn fault(&mut self, step: &Step) -> String {
        let mut rule = format!("[[fault]]\nservice = \"{}\"\n", step.store.as_str());
        match self.rng.random_range(0..6) {
            0 => rule += "nth = 1\n",
            1 => rule += "nth = 2\n",
            2 => rule += "times = 1\n",
            3 => rule += "times = 2\n",
            4 => rule += "times = 3\n",
            // For ever.
            _ => {}
        }
        let (reads, stores_content) = (step.operation.reads(), step.operation.stores());
        let (common, rare) = (&FAULTS[..], &SLOW_FAULTS[..]);
        let fault = match self.rng.random_range(0..40) {
            0 => self.choose(rare),
            1..7 if reads && step.store != StoreName::Fileio => {
                rule += "operation = \"download\"\nstep = \"content\"\n";
                self.choose(&CONTENT_FAULTS)
            }
            1..7 if stores_content && step.store != StoreName::Fileio => {
                let part = if step.store == StoreName::Pubnub { "form" } else { "part" };
                rule += &format!("operation = \"upload\"\nstep = \"{part}\"\n");
                self.choose(&STORED_FAULTS)
            }
            7..10 if reads && step.store != StoreName::Fileio => {
                rule += "operation = \"download\"\nstep = \"content\"\n";
                self.choose(&STORAGE_FAULTS)
            }
            10..13 if step.store == StoreName::Fileio => self.choose(&FILEIO_FAULTS),
            10..12 if step.store == StoreName::Filescom && reads => {
                rule += "operation = \"download\"\nstep = \"url\"\n";
                r#""replaced-file""#
            }
            10..12 if step.store == StoreName::Filescom && stores_content => {
                rule += "operation = \"upload\"\n";
                r#""stale-ref""#
            }
            _ => self.choose(common),
        };
        rule + "do = " + fault + "\n"
    }
}

/// Faults of a request or its response.
const FAULTS: [&str; 27] = [
    r#""lost-answer""#,
    r#""lost-answer""#,
    r#""lost-answer""#,
    r#"{ latency = { delay = "5ms" } }"#,
    "{ status = { code = 500 } }",
    "{ status = { code = 502 } }",
    "{ status = { code = 503 } }",
    "{ status = { code = 503 } }",
    r#"{ status = { code = 503, headers = { "Retry-After" = "0" } } }"#,
    "{ status = { code = 429 } }",
    r#"{ status = { code = 429, headers = { "Retry-After" = "0" } } }"#,
    "{ status = { code = 408 } }",
    "{ status = { code = 403 } }",
    "{ status = { code = 401 } }",
    "{ html = { code = 200 } }",
    "{ html = { code = 500 } }",
    "{ html = { code = 403 } }",
    "{ redirect = {} }",
    "{ redirect = { code = 302 } }",
    r#"{ reset = { at = "request" } }"#,
    r#"{ reset = { at = "request-body" } }"#,
    r#"{ reset = { at = "headers" } }"#,
    r#"{ reset = { at = "body", after = 10 } }"#,
    r#"{ cut-upload = { after = "50%" } }"#,
    r#"{ cut-download = { after = "50%" } }"#,
    r#"{ cut-download = { after = "0%" } }"#,
    r#"{ rate-limit = { per_minute = 3 } }"#,
];

/// The faults after which a service asks to wait, or after which file.io is known to need it.
const LONG_WAITS: [&str; 2] = ["rate-limit", "{ status = { code = 429 } }"];

/// The variants of file.io that concern requests of the clients: they send no HEAD and no `Accept: text/html`.
const FILEIO_FAULTS: [&str; 5] =
    [r#""gen1""#, r#"{ plan = "free" }"#, r#""clamp""#, r#""count-at-completion""#, r#""no-disposition""#];

/// Faults that take time, most of them until a limit of the client.
const SLOW_FAULTS: [&str; 5] = [
    "{ slow = { bytes_per_second = 500000 } }",
    r#"{ slow = { bytes_per_second = 500000, of = "request" } }"#,
    r#"{ stall-upload = { after = "50%" } }"#,
    r#"{ stall-download = { after = "50%" } }"#,
    r#"{ latency = { delay = "500ms" } }"#,
];

/// Faults in the content of a response. A reader of file.io cannot notice them, because the service has no digests.
const CONTENT_FAULTS: [&str; 4] =
    ["{ corrupt = { at = 0 } }", "{ corrupt = { at = 3 } }", r#"{ truncate = { keep = "50%" } }"#, r#""empty-body""#];

/// Faults in the content of an upload.
const STORED_FAULTS: [&str; 2] =
    [r#"{ corrupt = { at = 0, of = "request" } }"#, r#"{ truncate = { keep = "50%", of = "request" } }"#];

/// Faults of the storage of PubNub and Files.com.
const STORAGE_FAULTS: [&str; 2] = [r#""expired-url""#, r#""wrong-etag""#];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_follows_from_the_seed_and_its_number() {
        let plan = Plan { seed: 5, clients: 4, processes: false, s3: false };
        let other = Plan { seed: 6, ..plan };
        assert_eq!(plan.round(9), plan.round(9));
        assert_ne!(plan.round(9), other.round(9));
        assert_ne!(plan.round(9), plan.round(10));
    }

    #[test]
    fn every_operation_and_every_fault_occurs() {
        let plan = Plan { seed: 1, clients: 4, processes: false, s3: false };
        let rounds: Vec<Round> = (0..20_000).map(|number| plan.round(number)).collect();
        let text = serde_json::to_string(&rounds).unwrap_or_default();
        let simple = ["Upload", "Download", "Stat", "Delete", "List", "Url", "Copy", "Move"];
        for operation in simple.into_iter().chain(["Many", "CreateContested", "ReadContested"]) {
            assert!(text.contains(&format!("\"{operation}\"")), "{operation}");
        }
        let groups = [&FAULTS[..], &SLOW_FAULTS, &FILEIO_FAULTS, &CONTENT_FAULTS, &STORED_FAULTS, &STORAGE_FAULTS];
        for fault in groups.concat() {
            let occurs = |round: &Round| round.faults.iter().any(|rule| rule.contains(fault));
            assert!(rounds.iter().any(occurs), "{fault}");
        }
    }
}
