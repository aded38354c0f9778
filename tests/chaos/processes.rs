//! Runs the operations of a step by the command-line program, each in a process of its own.

use std::path::Path;
use std::process::{Output, Stdio};

use filestore::FileRef;
use filestore_emulator::FILEIO_API_KEY;
use filestore_testbed::{Result, failed};
use serde_json::Value;
use tokio::process::Command;

use crate::environment::Environment;
use crate::execute::{Subject, content_of, contested_name, stored_name};
use crate::history::{
    FAILED_RUN, Failure, Found, Interrupt, NOT_REPORTED, Operation, Outcome, Owner, ReportedEffect, Round, Step,
    StoreName,
};
use crate::plan::NAMES;
use crate::{content, many, snapshot};

pub(crate) async fn run(
    environment: &Environment,
    round: &Round,
    step: &Step,
    subject: &Subject,
    folder: &Path,
) -> Outcome {
    let ran = async {
        let Some(mut command) = command(environment, round, step, subject, folder)? else {
            return Ok(Outcome::default());
        };
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let child = child.spawn().map_err(failed("start the program"))?;
        let id = child.id().unwrap_or_default().to_string();
        let ended = child.wait_with_output();
        tokio::pin!(ended);
        if let Some(Interrupt::Signal { requests, signal }) = &step.interrupt {
            tokio::select! {
                output = &mut ended => return Ok(outcome(step, subject, output.map_err(failed("run the program"))?)),
                () = environment.received(*requests) => {
                    let _ = Command::new("kill").args(["-s", signal, &id]).stderr(Stdio::null()).status().await;
                }
            }
        }
        Ok(outcome(step, subject, ended.await.map_err(failed("run the program"))?))
    };
    ran.await.unwrap_or_else(|message: String| many::for_parts(step, Outcome::of_failed_run(&message)))
}

/// Returns the command of a step; `None` if there is nothing to do.
fn command(
    environment: &Environment,
    round: &Round,
    step: &Step,
    subject: &Subject,
    folder: &Path,
) -> Result<Option<Command>> {
    let Some(program) = &environment.program else { return Ok(None) };
    let reference = subject.reference.clone().unwrap_or_default();
    let mut arguments: Vec<String> = ["--json", "--quiet", "--store", step.store.as_str()].map(str::to_owned).to_vec();
    let mut add = |more: &[&str]| arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
    let source = environment.path().join(format!("sources/{}", step.client));
    let path = source.display().to_string();
    let to = subject.owner.to_string();
    let write = |content: Vec<u8>| {
        std::fs::create_dir_all(environment.path().join("sources")).map_err(failed("create a folder"))?;
        std::fs::write(&source, content).map_err(failed("write a source"))
    };
    match &step.operation {
        Operation::Nothing => return Ok(None),
        Operation::Upload { pick, size, create_new, downloads, days, .. } => {
            write(content::of(round.number, subject.owner, *size))?;
            add(&["upload", &path, "--name", &stored_name(step.store, subject.owner, NAMES[*pick])]);
            match step.store {
                StoreName::Fileio => add(&["-O", &format!("max_downloads={downloads}")]),
                _ => add(&["--to", &to]),
            }
            if let Some(days) = days {
                add(&["--expires", &format!("{days}d")]);
            }
            if *create_new {
                add(&["--no-clobber"]);
            }
        }
        Operation::CreateContested { size } => {
            write(content::of(round.number, Owner::Client(step.client), *size))?;
            let name = contested_name(step.store, round.number);
            add(&["upload", &path, "--name", &name, "--to", &to, "--no-clobber"]);
        }
        Operation::Download { .. } => add(&["download", &reference, "-o", &folder.join("file").display().to_string()]),
        Operation::ReadContested => add(&["download", &reference, "-o", "-"]),
        Operation::Stat { .. } => add(&["stat", &reference]),
        Operation::Delete { .. } => add(&["delete", &reference]),
        Operation::List { limit } => {
            add(&["list", "--all"]);
            if let Some(limit) = limit {
                add(&["--limit", &limit.to_string()]);
            }
            if step.store != StoreName::Fileio {
                add(&[&to]);
            }
        }
        Operation::Many { parts, tree, skip, jobs } => {
            let owner = subject.owner;
            let references: Vec<&str> = subject.parts.iter().filter_map(|part| part.reference.as_deref()).collect();
            match parts.first() {
                Some(Operation::Upload { create_new, downloads, .. }) => {
                    let (sources, paths) = many::write_sources(environment, round, step, owner)?;
                    add(&["upload"]);
                    match tree {
                        true => add(&["-r", &format!("{}/", sources.display())]),
                        false => paths.iter().for_each(|path| add(&[&path.display().to_string()])),
                    }
                    match step.store {
                        StoreName::Fileio => add(&["-O", &format!("max_downloads={downloads}")]),
                        _ => add(&["--to", &to]),
                    }
                    if *create_new {
                        add(&["--if-exists", "fail"]);
                    }
                    if *skip {
                        add(&["--if-exists", "skip"]);
                    }
                }
                Some(Operation::Download { .. }) => {
                    add(&["download", "-o", &folder.display().to_string()]);
                    match (tree, step.store) {
                        (true, StoreName::Fileio) => add(&["-r", "fileio:/", "--include", &many::glob(owner)]),
                        (true, store) => add(&["-r", &format!("{}:{owner}/", store.as_str())]),
                        (false, _) => add(&references),
                    }
                }
                _ => {
                    add(&["delete"]);
                    match tree {
                        true => add(&["-r", &many::folder_reference(step.store, owner)]),
                        false => add(&references),
                    }
                }
            }
            if let Some(jobs) = jobs {
                add(&["--jobs", &jobs.to_string()]);
            }
        }
        Operation::Url { .. } => add(&["url", &reference]),
        Operation::Copy { to: name, overwrite, .. } | Operation::Move { to: name, overwrite, .. } => {
            let verb = if matches!(step.operation, Operation::Copy { .. }) { "cp" } else { "mv" };
            add(&["filescom", verb, &reference, &format!("{to}/{}", NAMES[*name])]);
            if *overwrite {
                add(&["--overwrite"]);
            }
        }
    }
    let mut command = Command::new(program);
    command.arg("--config").arg(environment.configuration()).args(arguments).env("NO_COLOR", "1");
    Ok(Some(command))
}

fn outcome(step: &Step, subject: &Subject, output: Output) -> Outcome {
    let mut outcome = Outcome::default();
    let mut message = String::from_utf8_lossy(&output.stderr).replace(FILEIO_API_KEY, "KEY");
    let effect = match output.status.code() {
        Some(0) => None,
        Some(1..=6) => Some(ReportedEffect::Unchanged),
        // A process that was interrupted tells nothing about its operation.
        code if code.is_none_or(|code| code > 128) && step.interrupt.is_some() => {
            outcome.interrupted = true;
            Some(ReportedEffect::Unknown)
        }
        Some(7..=8) => Some(ReportedEffect::Unknown),
        _ => {
            message += &format!("; {FAILED_RUN}: the program ended in no documented way");
            Some(ReportedEffect::Unknown)
        }
    };
    if let Some(effect) = effect {
        let kind = match output.status.code() {
            Some(3) => Some("not_found".to_owned()),
            Some(7) => Some("integrity".to_owned()),
            Some(5) if message.contains("already exists") => Some("already_exists".to_owned()),
            _ => None,
        };
        message += &format!("; exit {:?}", output.status.code());
        // Standard output may name what was stored.
        message += &format!("; output: {}", String::from_utf8_lossy(&output.stdout).trim_end());
        outcome.error = Some(Failure { kind, effect, message });
        if !matches!(step.operation, Operation::ReadContested | Operation::Many { .. }) {
            return outcome;
        }
    }
    match step.operation {
        Operation::Many { .. } => outcome.parts = parts(step, subject, &output, &outcome),
        Operation::ReadContested => outcome.content = Some(content_of(&output.stdout, subject)),
        _ => {
            let reference = if matches!(step.operation, Operation::Url { .. }) { "url" } else { "ref" };
            let output = String::from_utf8_lossy(&output.stdout);
            outcome.files = output.lines().filter_map(|line| found(line, reference)).collect();
        }
    }
    outcome
}

/// Returns the outcome of each part of a command for many files: what the program has printed of it, or else its error.
fn parts(step: &Step, subject: &Subject, output: &Output, whole: &Outcome) -> Vec<Outcome> {
    let Operation::Many { parts, tree, skip, .. } = &step.operation else { return Vec::new() };
    let (lines, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let lines: Vec<Value> = lines.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    // An error may have several lines, of which the first begins with this.
    let errors: Vec<&str> = errors.split("error: ").skip(1).collect();
    let error_of = |part: &Operation, subject: &Subject| {
        let subjects: Vec<String> = match part {
            Operation::Upload { pick, .. } => {
                let name = stored_name(step.store, subject.owner, NAMES[*pick]);
                // Without -r, the stored file is requested first.
                vec![format!("upload {name:?}"), snapshot::reference(step.store, subject.owner, &name)]
            }
            _ => {
                let reference: Option<FileRef> = subject.reference.as_deref().and_then(|text| text.parse().ok());
                let reference = reference.into_iter();
                reference.flat_map(|reference| [format!("{:?}", reference.to_string()), reference.redacted()]).collect()
            }
        };
        errors.iter().find(|error| subjects.iter().any(|subject| error.contains(subject)))
    };
    let line_of = |part: &Operation, subject: &Subject| {
        let (key, value) = match part {
            Operation::Upload { pick, .. } => ("name", stored_name(step.store, subject.owner, NAMES[*pick])),
            Operation::Delete { .. } if *tree => ("deleted", many::folder_reference(step.store, subject.owner)),
            Operation::Delete { .. } => ("deleted", subject.reference.clone().unwrap_or_default()),
            _ => ("ref", subject.reference.clone().unwrap_or_default()),
        };
        let is_upload = key == "name";
        let has_path = |line: &Value| line["path"].as_str().is_some_and(|path| path.ends_with(&format!("/{value}")));
        lines.iter().find(|line| line[key] == value && (!is_upload || !*tree || has_path(line)))
    };
    let code = output.status.code();
    // The counts of an interrupted command. A file that is not printed was not sent, unless some were under way.
    let counts = String::from_utf8_lossy(&output.stderr);
    let counts = counts.lines().find(|line| line.starts_with("interrupted: ") && line.contains(" files are "));
    let is_unsent = counts.is_some_and(|counts| !counts.contains(" under way ")) && !step.operation.reads();
    let pairs = || parts.iter().zip(&subject.parts);
    let names_a_part =
        pairs().any(|(part, subject)| error_of(part, subject).is_some() || line_of(part, subject).is_some());
    let outcome = |(part, subject): (&Operation, &Subject)| {
        if let Some(error) = error_of(part, subject) {
            let kind = match code {
                Some(7) => Some("integrity"),
                Some(5) if error.contains("already exists") => Some("already_exists"),
                Some(1..=6) if errors.len() == 1 && code == Some(3) || subject.file.is_none() => Some("not_found"),
                Some(1..=6) if error.contains("already exists") => Some("already_exists"),
                _ => None,
            };
            let (kind, effect) = (kind.map(str::to_owned), whole.error.as_ref().map(|failure| failure.effect));
            let message = match effect {
                Some(_) => (*error).to_owned(),
                None => format!("{FAILED_RUN}: the program reports no failure by its exit code: {error}"),
            };
            let effect = effect.unwrap_or(ReportedEffect::Unknown);
            return Outcome { error: Some(Failure { kind, effect, message }), ..Outcome::default() };
        }
        if let Some(line) = line_of(part, subject) {
            let mut found = found(&line.to_string(), "ref");
            if let (Operation::Download { .. }, Some(found)) = (part, &mut found) {
                let path = line["path"].as_str().unwrap_or_default();
                found.name = path.rsplit('/').next().unwrap_or_default().to_owned();
            }
            return Outcome { files: found.into_iter().collect(), ..Outcome::default() };
        }
        match (&whole.error, whole.interrupted) {
            (_, true) if is_unsent => Outcome::of_unsent("the program reports no transfer under way"),
            (error, true) => Outcome { error: error.clone(), ..Outcome::of_interrupted() },
            // The error of the whole command, such as that of its listing.
            (Some(error), _) if !names_a_part && !errors.is_empty() => {
                Outcome { error: Some(error.clone()), ..Outcome::default() }
            }
            // An upload that was skipped.
            _ if *skip => Outcome::default(),
            _ => Outcome::of_unsent(NOT_REPORTED),
        }
    };
    pairs().map(outcome).collect()
}

fn found(line: &str, reference: &str) -> Option<Found> {
    let value: Value = serde_json::from_str(line).ok()?;
    let text = |key: &str| value[key].as_str().map(str::to_owned);
    Some(Found { reference: text(reference)?, name: text("name").unwrap_or_default(), size: value["size"].as_u64() })
}
