//! The run: executes the rounds of a plan, records them, and checks each record.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use filestore_emulator::{FILEIO_API_KEY, FILESCOM_API_KEY};
use filestore_testbed::{Result, failed};
use futures::future::join_all;
use tokio::time::{sleep, timeout};

use crate::environment::Environment;
use crate::execute::{self, collect, content_of, contested_name, resolve};
use crate::history::{
    Event, Operation, Outcome, Owner, Record, ReportedEffect, Round, Snapshot, Step, StoreName, place,
};
use crate::{content, snapshot};

/// The time after which a step counts as stopped.
const STOPPED: Duration = Duration::from_secs(120);

/// All places are read after each round whose number is a multiple of this.
const COMPLETE: u64 = 10;

/// The pause between two readings of the state after an interruption.
const SETTLING: Duration = Duration::from_millis(5);

/// The size of the file for which the clients of a round compete, in bytes.
const CONTESTED_SIZE: u32 = 5000;

/// The figures of a run.
#[derive(Debug, Default)]
pub struct Figures {
    pub rounds: u64,
    pub operations: u64,
    pub succeeded: u64,
    /// The errors by what they tell about their effect.
    pub failed: BTreeMap<&'static str, u64>,
    pub interrupted: u64,
    pub faults: u64,
    pub events: u64,
    pub kills: u64,
}

/// A run in one environment.
#[derive(Debug)]
pub struct Run {
    environment: Environment,
    clients: usize,
    seed: u64,
    state: Snapshot,
    pub figures: Figures,
}

impl Run {
    /// Starts the environment of a run.
    pub async fn start(program: Option<PathBuf>, s3: Option<String>, clients: usize, seed: u64) -> Result<Self> {
        let environment = Environment::start(program, s3).await?;
        Ok(Self { environment, clients, seed, state: Snapshot::new(), figures: Figures::default() })
    }

    /// Executes a round and returns its record, whose operations fit the state of the stores.
    pub async fn execute(&mut self, round: &Round) -> Result<Record> {
        let before_event = self.state.clone();
        let mut round = round.clone();
        // 1. The event.
        match round.event {
            Some(Event::Restart) => self.environment.restart().await?,
            Some(Event::Advance { hours }) => self.environment.advance(hours).await?,
            None => {}
        }
        if round.event.is_some() {
            self.state = snapshot::observe(&self.environment, self.clients, &before_event, |_| true).await?;
        }
        if round.steps.iter().any(|step| step.operation == Operation::ReadContested) {
            self.store_contested_file(round.number).await?;
        }
        let before = self.state.clone();
        let now = self.environment.now().await?;
        // 2. The steps, all at once.
        let resolved: Vec<_> = round.steps.iter().map(|step| resolve(step, &before, round.number)).collect();
        round.steps = resolved.iter().map(|(step, _)| step.clone()).collect();
        self.environment.empty_journal().await?;
        self.environment.set_faults(self.seed, &round.faults).await?;
        let mut outcomes = self.steps(&round, &resolved).await?;
        // 3. The state, once everything has ended.
        let fired = self.environment.quiet().await?;
        self.environment.set_faults(self.seed, &[]).await?;
        for ((step, subject), outcome) in resolved.iter().zip(&mut outcomes) {
            if let (Operation::Url { .. }, None, Some(url)) = (&step.operation, &outcome.error, outcome.files.first())
                && step.store != StoreName::Fileio
            {
                let read = snapshot::read(&self.environment, &url.reference).await.ok();
                outcome.content = read.map(|read| content_of(&read, subject));
            }
        }
        // Every few rounds all places, otherwise those of the steps.
        let touched: Vec<_> = resolved.iter().map(|(step, subject)| place(step.store, subject.owner)).collect();
        let is_complete = round.number.is_multiple_of(COMPLETE);
        let is_read = |place: &str| is_complete || touched.iter().any(|touched| touched == place);
        let mut after = snapshot::observe(&self.environment, self.clients, &before, is_read).await?;
        // What was interrupted may end a moment later: two equal readings show that it has.
        while outcomes.iter().any(|outcome| outcome.interrupted) || round.kill_emulator.is_some() {
            sleep(SETTLING).await;
            let again = snapshot::observe(&self.environment, self.clients, &before, is_read).await?;
            if std::mem::replace(&mut after, again.clone()) == again {
                break;
            }
        }
        for ((step, subject), outcome) in resolved.iter().zip(&mut outcomes) {
            let files = after.get(&place(step.store, subject.owner)).map_or(&[][..], Vec::as_slice);
            collect(&self.environment, step, subject, outcome, files);
        }
        name_origins(&mut after, &before, &round);
        let record = Record { before_event, before, outcomes, after, now, fired, round };
        self.count(&record);
        self.state = record.after.clone();
        self.remove_leftovers().await?;
        Ok(record.without_unchanged_places())
    }

    async fn steps(&mut self, round: &Round, resolved: &[(Step, execute::Subject)]) -> Result<Vec<Outcome>> {
        let environment = &self.environment;
        let steps = resolved.iter().map(|(step, subject)| async move {
            timeout(STOPPED, execute::run(environment, round, step, subject))
                .await
                .unwrap_or_else(|_| Outcome::of_failed_run(&format!("the step has not ended after {STOPPED:?}")))
        });
        let steps = join_all(steps);
        let Some(requests) = round.kill_emulator else { return Ok(steps.await) };
        let mut steps = std::pin::pin!(steps);
        let ended = tokio::select! {
            outcomes = &mut steps => Some(outcomes),
            () = environment.received(requests) => None,
        };
        match ended {
            Some(outcomes) => Ok(outcomes),
            None => {
                // The clients go on while the emulator starts again.
                let (killed, outcomes) = tokio::join!(environment.kill_and_start(), steps);
                self.figures.kills += 1;
                killed.map(|()| outcomes)
            }
        }
    }

    /// Stores the single-use file of a round, without the code under test.
    async fn store_contested_file(&mut self, round: u64) -> Result<()> {
        let name = contested_name(StoreName::Fileio, round);
        let mut form = format!(
            "--form\r\ncontent-disposition: form-data; name=\"maxDownloads\"\r\n\r\n1\r\n--form\r\n\
             content-disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n"
        )
        .into_bytes();
        form.extend(content::of(round, Owner::Shared, CONTESTED_SIZE));
        form.extend(b"\r\n--form--\r\n");
        let request = self.environment.http.post(self.environment.url("/")).bearer_auth(FILEIO_API_KEY);
        let request = request.header("content-type", "multipart/form-data; boundary=form").body(form);
        let response = request.send().await.map_err(failed("store a file"))?;
        if !response.status().is_success() {
            return Err(format!("store a file: {}", response.status()));
        }
        let mut state = snapshot::observe(&self.environment, self.clients, &self.state, |_| false).await?;
        for file in state.entry(place(StoreName::Fileio, Owner::Shared)).or_default() {
            if file.name == name {
                file.md5 = Some(content::digest(&content::of(round, Owner::Shared, CONTESTED_SIZE)));
                file.origin = Some((round, Owner::Shared));
            }
        }
        self.state = state;
        Ok(())
    }

    /// Removes the temporary files that the errors of the round have named.
    async fn remove_leftovers(&mut self) -> Result<()> {
        for (place, files) in &mut self.state {
            let Some(owner) = place.strip_prefix("filescom/") else { continue };
            for file in files.iter().filter(|file| file.is_temporary()) {
                let url = self.environment.url(&format!("/api/rest/v1/files/{owner}/{}", file.name));
                let request = self.environment.http.delete(url).header("X-FilesAPI-Key", FILESCOM_API_KEY);
                request.send().await.map_err(failed("remove a leftover"))?;
            }
            files.retain(|file| !file.is_temporary());
        }
        Ok(())
    }

    fn count(&mut self, record: &Record) {
        let figures = &mut self.figures;
        figures.rounds += 1;
        figures.faults += record.fired.len() as u64;
        figures.events += u64::from(record.round.event.is_some());
        for outcome in &record.outcomes {
            figures.operations += 1;
            match &outcome.error {
                _ if outcome.interrupted => figures.interrupted += 1,
                None => figures.succeeded += 1,
                Some(failure) => {
                    let reported = match failure.effect {
                        ReportedEffect::Unchanged => "unchanged",
                        ReportedEffect::Unknown => "unknown",
                        ReportedEffect::Changed => "changed",
                    };
                    *figures.failed.entry(reported).or_default() += 1;
                }
            }
        }
    }
}

/// Sets the origin, and for file.io the digest, of the files that a round has stored.
fn name_origins(after: &mut Snapshot, before: &Snapshot, round: &Round) {
    for (key, files) in after.iter_mut() {
        let known = before.get(key).map_or(&[][..], Vec::as_slice);
        for file in files.iter_mut().filter(|file| file.origin.is_none()) {
            let is_known = known.iter().any(|known| known.reference == file.reference && known.md5 == file.md5);
            let owners = round.steps.iter().map(|step| Owner::Client(step.client));
            let size = u32::try_from(file.size).unwrap_or(u32::MAX);
            let same_owner = |owner: &Owner| key.ends_with(&format!("/{owner}")) || key.ends_with("/shared");
            let origin = owners.filter(same_owner).find(|owner| {
                let digest = content::digest(&content::of(round.number, *owner, size));
                file.md5.is_none() || file.md5.as_ref() == Some(&digest)
            });
            let Some(owner) = origin.filter(|_| !is_known) else { continue };
            file.origin = Some((round.number, owner));
            file.md5.get_or_insert_with(|| content::digest(&content::of(round.number, owner, size)));
        }
    }
}
