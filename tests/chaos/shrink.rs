//! Shrinks a failing history to the few operations that matter.

use filestore_testbed::Result;
use std::path::PathBuf;

use crate::check::check;
use crate::history::Round;
use crate::run::Run;

/// The runs of a candidate before it counts as free of violations: the order of concurrent requests differs between runs.
const TRIES: usize = 3;

/// The environment in which a history is executed again.
#[derive(Debug, Clone)]
pub struct Replay {
    pub program: Option<PathBuf>,
    pub s3: Option<String>,
    pub clients: usize,
    pub seed: u64,
}

impl Replay {
    /// Executes the rounds in a new environment. Returns the violations of the first round that has any.
    pub async fn violations(&self, rounds: &[Round]) -> Result<Vec<String>> {
        let mut run = Run::start(self.program.clone(), self.s3.clone(), self.clients, self.seed).await?;
        for round in rounds {
            let violations = check(&run.execute(round).await?);
            if !violations.is_empty() {
                return Ok(violations);
            }
        }
        Ok(Vec::new())
    }

    async fn fails(&self, rounds: &[Round]) -> Result<bool> {
        for _ in 0..TRIES {
            if !self.violations(rounds).await?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns the smallest history that was found to fail. Returns `None` if the whole history does not fail again.
    pub async fn shrink(&self, history: &[Round]) -> Result<Option<Vec<Round>>> {
        // 1. The shortest end of the history that fails: 1, 2, 4, 8... rounds.
        let mut length = 1;
        let mut rounds = loop {
            let end = history[history.len().saturating_sub(length)..].to_vec();
            if self.fails(&end).await? {
                break end;
            }
            if length >= history.len() {
                return Ok(None);
            }
            length *= 2;
        };
        // 2. Without each half, each quarter, and so on.
        let mut size = rounds.len() / 2;
        while size > 0 {
            let mut begin = 0;
            while begin < rounds.len() {
                let mut candidate = rounds.clone();
                candidate.drain(begin..(begin + size).min(rounds.len()));
                if !candidate.is_empty() && self.fails(&candidate).await? {
                    rounds = candidate;
                } else {
                    begin += size;
                }
            }
            size /= 2;
        }
        // 3. Without each step, fault, event and interruption.
        for index in 0..rounds.len() {
            for simpler in [without_steps, without_faults, without_event, without_interrupts] {
                let mut number = 0;
                while let Some(round) = simpler(&rounds[index], number) {
                    let mut candidate = rounds.clone();
                    candidate[index] = round;
                    if self.fails(&candidate).await? { rounds = candidate } else { number += 1 }
                }
            }
        }
        Ok(Some(rounds))
    }
}

fn without_steps(round: &Round, number: usize) -> Option<Round> {
    let mut round = round.clone();
    (number < round.steps.len() && round.steps.len() > 1).then(|| {
        round.steps.remove(number);
        round
    })
}

fn without_faults(round: &Round, number: usize) -> Option<Round> {
    let mut round = round.clone();
    (number < round.faults.len()).then(|| {
        round.faults.remove(number);
        round
    })
}

fn without_event(round: &Round, number: usize) -> Option<Round> {
    let has_event = round.event.is_some() || round.kill_emulator.is_some();
    (number == 0 && has_event).then(|| Round { event: None, kill_emulator: None, ..round.clone() })
}

fn without_interrupts(round: &Round, number: usize) -> Option<Round> {
    let mut round = round.clone();
    let step = round.steps.iter_mut().filter(|step| step.interrupt.is_some()).nth(number)?;
    step.interrupt = None;
    Some(round)
}
